"""Folders that transformers wrote are read whatever names it gave the weights in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prunekit.cli.entry import main
from prunekit.errors import SpecError
from prunekit.runs.building import load_weights

transformers = pytest.importorskip("transformers")

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
}  # fmt: skip
WORDS = SIZES | {"vocab_size": 40, "max_position_embeddings": 16}
WORDS |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def bert() -> nn.Module:
    model: nn.Module = transformers.BertForSequenceClassification(transformers.BertConfig(**WORDS))
    return model


def vit() -> nn.Module:
    """Saved under other names: vit.encoder.layer.0 for what is vit.layers.0."""
    config = transformers.ViTConfig(image_size=16, patch_size=8, **SIZES)
    model: nn.Module = transformers.ViTForImageClassification(config)
    return model


def mixtral() -> nn.Module:
    """Saved expert by expert, and held in one tensor for all of a layer."""
    config = transformers.MixtralConfig(num_key_value_heads=1, num_local_experts=3, **WORDS)
    model: nn.Module = transformers.MixtralForCausalLM(config)
    return model


def tied() -> nn.Module:
    """Saved without the head, which is the embedding."""
    config = transformers.LlamaConfig(num_key_value_heads=1, tie_word_embeddings=True, **WORDS)
    model: nn.Module = transformers.LlamaForCausalLM(config)
    return model


class Logits(nn.Module):
    """What a run takes: one tensor in, logits out."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Any:
        return self.net(x).logits


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("size", ["1GB", "5KB"])
@pytest.mark.parametrize("build", [bert, vit, mixtral, tied])
def test_a_save_pretrained_folder_gives_a_model_its_weights(
    tmp_path: Path, build: Any, size: str, wrapped: bool
) -> None:
    saved, other = build(), build()
    saved.save_pretrained(tmp_path, max_shard_size=size)
    assert (tmp_path / "model.safetensors").exists() == (size == "1GB")
    state = torch.get_rng_state()
    load_weights(Logits(other) if wrapped else other, str(tmp_path))
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in saved.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_the_folder_of_another_model_names_its_first_mistake(tmp_path: Path) -> None:
    vit().save_pretrained(tmp_path)
    with pytest.raises(SpecError, match="the model has no 'vit") as caught:
        load_weights(bert(), str(tmp_path))
    assert "\n" not in str(caught.value)
    bert().bert.save_pretrained(tmp_path)  # without a head
    with pytest.raises(SpecError, match="give this model's whole state dict"):
        load_weights(bert(), str(tmp_path))


def roberta(kind: str) -> nn.Module:
    model: nn.Module = getattr(transformers, kind)(transformers.RobertaConfig(**WORDS))
    return model


def vit_backbone() -> nn.Module:
    config = transformers.ViTConfig(image_size=16, patch_size=8, **SIZES)
    model: nn.Module = transformers.ViTModel(config)
    return model


@pytest.mark.parametrize(
    ("saved", "model", "line"),
    [
        (bert().bert, bert(), r"has no 'classifier\.\w+';"),
        (vit_backbone(), vit(), r"has no 'classifier\.\w+', and the model has no 'pooler"),
        (
            roberta("RobertaModel"),
            roberta("RobertaForSequenceClassification"),
            r"has no 'classifier\.\w+\.\w+', and the model has no 'pooler",
        ),
    ],
)
def test_a_backbone_of_a_classifier_is_refused_by_the_head_that_it_lacks(
    tmp_path: Path, saved: nn.Module, model: nn.Module, line: str
) -> None:
    saved.save_pretrained(tmp_path)
    for given in (model, Logits(model)):
        before = {name: value.clone() for name, value in given.state_dict().items()}
        with pytest.raises(SpecError, match=line.replace("'classifier", r"'(net\.)?classifier")):
            load_weights(given, str(tmp_path))
        assert all(torch.equal(before[name], t) for name, t in given.state_dict().items())


def test_a_network_that_gives_an_object_with_logits_runs_as_it_is(
    tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(
        "import transformers\n"
        "def vit(input_shape, classes):\n"
        "    config = transformers.ViTConfig(num_channels=1, image_size=8, patch_size=4,\n"
        "        num_labels=classes, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,\n"
        "        intermediate_size=12)\n"
        "    return transformers.ViTForImageClassification(config)\n"
    )
    words = ["--scorer", "snip", "--density", "0.3", "--epochs", "1", "--device", "cpu"]
    assert main(["run", "--arch", "nets.py:vit", *words, "--out", "run"]) == 0
    assert "test.accuracy" in capsys.readouterr().out
    assert main(["eval", "run"]) == 0
