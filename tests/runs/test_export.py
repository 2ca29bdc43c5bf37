from __future__ import annotations

import importlib.util
import runpy

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


NETS = """
import torch
from torch import nn

class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.encoder(x.flatten(1, 2)).mean(1))

class Direct(nn.Module):
    "Weights that are read without a call of their module, as Swin and BEiT read theirs."

    def __init__(self):
        super().__init__()
        self.qkv, self.head = nn.Linear(64, 6), nn.Linear(6, 10)

    def forward(self, x):
        return self.head(nn.functional.linear(x.flatten(1), self.qkv.weight, self.qkv.bias))

class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 10)

    def forward(self, x):
        return self.head(self.lstm(x.flatten(1, 2))[0][:, -1])

def torchvision():
    from torchvision.models import VisionTransformer
    model = VisionTransformer(8, 4, 2, 2, 8, 16, num_classes=10)
    model.conv_proj = nn.Conv2d(1, 8, 4, 4)
    nn.init.normal_(model.heads.head.weight)
    return model

def timm():
    from timm.models import VisionTransformer
    return VisionTransformer(8, 4, 1, 10, embed_dim=8, depth=2, num_heads=2)
"""
UNHOOKED = {
    "Encoder": ["encoder.layers.0.self_attn.out_proj", "encoder.layers.1.self_attn.out_proj"],
    "torchvision": [f"encoder.layers.encoder_layer_{i}.self_attention.out_proj" for i in range(2)],
    "timm": [],
    "Direct": ["qkv"],
    "Recurrent": [],
}
"""Network -> the modules whose forward, and so torch's hook, never runs."""


@pytest.mark.parametrize("net", UNHOOKED)
def test_with_torch_s_pruning_keys_any_network_computes_what_the_run_s_does(net, tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    spec = Spec(
        arch=f"{tmp_path / 'nets.py'}:{net}", scorer="magnitude", observers=(), device="cpu",
        prune=Prune(density=0.5), train=Train(epochs=0),
    )  # fmt: skip
    folder = prunekit.run(spec, tmp_path / "run").folder
    plain = export.to_torch_prune(folder, tmp_path / "model.safetensors")
    assert plain == [f"{name}.weight" for name in UNHOOKED[net]]
    tensors, _ = read_tensors(tmp_path / "model.safetensors", foreign=True)
    model, masks, _ = prunekit.load(folder)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = model(x).detach()
    fresh = runpy.run_path(str(tmp_path / "nets.py"))[net]().eval()
    for name in tensors:
        if name.endswith("_mask"):
            module, _, leaf = name.removesuffix("_mask").rpartition(".")
            torch_prune.identity(fresh.get_submodule(module), leaf)
    fresh.load_state_dict(tensors)
    for grad in (False, True):  # without, attention has a path of its own
        with torch.set_grad_enabled(grad):
            torch.testing.assert_close(fresh(x).detach(), expected, rtol=1e-5, atol=1e-6)
    zeros = {name: tensors[name] if name in plain else tensors[f"{name}_orig"] for name in masks}
    assert all(torch.equal(zeros[name] != 0, mask) for name, mask in masks.items())


def test_onnx_without_its_libraries_is_one_line_that_names_the_extra(folder, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if "onnx" in name else found(name)
    )
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
