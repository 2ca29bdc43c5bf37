from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

import prunekit
from prunekit.errors import SpecError, StorageError
from prunekit.runs import export
from prunekit.spec.sections import Prune, Spec, Train
from prunekit.storage.tensorfile import read_tensors
from tests.onnxfiles import computed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of a small network, not trained."""
    spec = Spec(
        arch="mlp",
        scorer="magnitude",
        observers=(),
        device="cpu",
        prune=Prune(density=0.25),
        train=Train(epochs=0),
    )
    return prunekit.run(spec, tmp_path_factory.mktemp("export") / "run").folder


def test_baking_zeroes_the_pruned_weights_and_no_other():
    model = nn.Linear(2, 1)
    before = model.bias.item()
    nn.init.ones_(model.weight)
    export.bake(model, {"weight": torch.tensor([[True, False]])})
    assert model.weight.tolist() == [[1.0, 0.0]]
    assert model.bias.item() == before


def test_a_state_dict_has_plain_keys_and_zeros_where_the_mask_is_false(folder, tmp_path):
    export.to_state_dict(folder, tmp_path / "model.safetensors")
    tensors, _ = read_tensors(tmp_path / "model.safetensors", foreign=True)
    model, masks, _ = prunekit.load(folder)
    model.load_state_dict(tensors)
    for name, mask in masks.items():
        assert not tensors[name][~mask].any()
        assert torch.equal(tensors[name] != 0, mask)


def test_torch_s_own_pruning_takes_the_exported_keys(folder, tmp_path):
    export.to_torch_prune(folder, tmp_path / "model.safetensors")
    tensors, _ = read_tensors(tmp_path / "model.safetensors", foreign=True)
    model, masks, _ = prunekit.load(folder)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = model(x)
    for name in masks:
        module, _, leaf = name.rpartition(".")
        torch_prune.identity(model.get_submodule(module), leaf)
    model.load_state_dict(tensors)
    assert torch.equal(model(x), expected)


def test_onnx_without_its_libraries_is_one_line_that_names_the_extra(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        SpecError, match=r"needs onnx and onnxscript: pip install 'prunekit\[onnx\]'"
    ):
        export.to_onnx(folder, tmp_path / "model.onnx")


def test_onnx_computes_what_the_model_computes_for_any_batch(folder, tmp_path):
    pytest.importorskip("onnxscript")
    export.to_onnx(folder, tmp_path / "model.onnx")
    model, _, _ = prunekit.load(folder)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(computed(tmp_path / "model.onnx", x), model(x).detach())


def test_a_file_that_cannot_be_written_is_a_storage_error(folder, tmp_path):
    with pytest.raises(StorageError, match="cannot write"):
        export.to_state_dict(folder, tmp_path / "missing" / "model.safetensors")


def test_a_folder_that_holds_no_run_is_refused(tmp_path):
    with pytest.raises(SpecError, match="holds no run"):
        export.to_state_dict(tmp_path, tmp_path / "model.safetensors")
