from __future__ import annotations

import pytest
import torch

import prunekit
from prunekit import tickets
from prunekit.cli.entry import main
from prunekit.errors import SpecError, StorageError
from prunekit.network.laws import apply_init
from prunekit.network.model import Network
from prunekit.runs import export
from prunekit.storage.tensorfile import read_tensors, write_tensors
from prunekit.tickets import file, forms
from prunekit.tickets.saving import ticket_of
from tests.onnxfiles import computed
from tests.tickets.tinytickets import CLASSES, SHAPE, assert_bits, origin


def test_a_dense_state_dict_is_that_of_the_network(ticket, tmp_path):
    forms.to_state_dict(ticket, tmp_path / "state")
    tensors, _ = read_tensors(tmp_path / "state", foreign=True)
    expected = tickets.load(ticket).state_dict()
    assert_bits({name: tensors[name] for name in expected}, expected)


def test_linear_weights_come_as_sparse_rows_that_compute_the_same(ticket, tmp_path):
    forms.to_sparse_csr(ticket, tmp_path / "sparse")
    state = forms.read_sparse_csr(tmp_path / "sparse")
    dense = tickets.load(ticket).state_dict()
    name = next(name for name, value in dense.items() if value.ndim == 2)
    assert state[name].layout == torch.sparse_csr
    assert torch.equal(state[name].to_dense(), dense[name])
    assert state[name].values().numel() == int(torch.count_nonzero(dense[name]))
    x = torch.ones(2, dense[name].shape[1])
    torch.testing.assert_close(state[name] @ x.T, dense[name] @ x.T)


def test_damaged_sparse_rows_are_refused(ticket, tmp_path):
    forms.to_sparse_csr(ticket, tmp_path / "sparse")
    tensors, meta = read_tensors(tmp_path / "sparse")
    name = next(name for name in tensors if name.endswith(forms.COLUMNS))
    tensors[name][0] = 10**6
    write_tensors(tmp_path / "bad", tensors, meta)
    with pytest.raises(StorageError, match="holds no sparse state dict"):
        forms.read_sparse_csr(tmp_path / "bad")


def test_onnx_of_a_network_of_tokens_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "require_onnx", lambda: None)
    options = {"model": "lstm", "vocabulary": 9, "embedding": 3, "hidden": 4}
    model = prunekit.component("arch", "text", **options).build((5,), CLASSES)
    init = prunekit.component("init", "uniform")
    apply_init(model, init, 1)
    masks = {name: w > 0 for name, w in Network.of(model).weights.items()}
    said = origin("uniform", arch={"name": "text", **options}, input_shape=(5,))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    path = tmp_path / "ticket"
    file.write(ticket_of(model, said, init, state, masks, {}), path)
    with pytest.raises(SpecError, match="this network takes tokens"):
        forms.to_onnx(path, tmp_path / "model.onnx")


def test_onnx_computes_what_the_ticket_s_network_computes(ticket, tmp_path):
    pytest.importorskip("onnxscript")
    forms.to_onnx(ticket, tmp_path / "model.onnx")
    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    expected = tickets.load(ticket)(x).detach()
    torch.testing.assert_close(computed(tmp_path / "model.onnx", x), expected)


def test_a_ticket_is_not_overwritten_by_what_is_made_of_it(ticket, capsys):
    before = ticket.read_bytes()
    assert main(["ticket", "load", str(ticket), "--out", str(ticket)]) == 2
    assert "is the ticket itself; choose another file" in capsys.readouterr().err
    for write in (tickets.to_state_dict, tickets.to_sparse_csr, tickets.to_onnx):
        with pytest.raises(SpecError, match="is the ticket itself"):
            write(ticket, ticket)
    assert ticket.read_bytes() == before
