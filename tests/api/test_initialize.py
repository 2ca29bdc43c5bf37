"""`prunekit.initialize`: weights that are a function of init, seed, name and number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prunekit_plugins.kaiming_uniform import KaimingUniform
from torch import nn

import prunekit
from prunekit import PrunekitError, tickets
from prunekit.draws.chance import words
from prunekit.network.laws import law_of
from tests.api.test_pruning import net


def test_initialize_draws_every_weight_by_its_seed_name_and_number() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8))
    nn.init.zeros_(model[1].weight)
    bias = model[0].bias.clone()
    prunekit.initialize(model, "signed-constant", seed=7)
    minus = words(7, "init", "0.weight", 48) < 0
    expected = torch.where(minus, -1.0, 1.0).view(8, 6) * np.float32(math.sqrt(2 / 6))
    assert torch.equal(model[0].weight, expected)
    assert torch.equal(model[0].bias, bias)
    assert (model[1].weight == 1).all()  # zero gains would silence the network


def test_initialize_gives_the_weights_of_a_run(tmp_path: Path) -> None:
    spec = prunekit.Spec(
        arch="mlp",
        init="kaiming-uniform",
        scorer="edge-popup",
        train=prunekit.Train(epochs=1),
        observers=(),
        seed=5,
    )
    trained, masks, _ = prunekit.load(prunekit.run(spec, tmp_path / "run").folder)
    model = prunekit.component("arch", "mlp").build((1, 8, 8), 10)
    prunekit.initialize(model, "kaiming-uniform", seed=5)
    for name, mask in masks.items():
        assert torch.equal(model.get_parameter(name)[mask], trained.get_parameter(name)[mask])


def test_initialize_refuses_what_has_no_weights_to_draw() -> None:
    with torch.device("meta"):
        hollow = net()
    for model, init, message in (
        (hollow, "uniform", "meta"),
        ("resnet18", "uniform", "model must be an nn.Module: str"),
        (net(), "unifrom", "Did you mean 'uniform'"),
        (net(), "default", "keeps the weights that a model has"),
    ):
        with pytest.raises(PrunekitError, match=message):
            prunekit.initialize(model, init)


def test_initialize_draws_all_or_nothing() -> None:
    model = nn.Linear(4, 2)
    before = model.weight.clone()
    with pytest.raises(PrunekitError, match="no fan-in"):
        prunekit.initialize(model, "kaiming-uniform", include=["bias"])
    assert torch.equal(model.weight, before)


def padded() -> nn.Sequential:
    """A reader of 3 tokens, of which 0 stands for padding."""
    return nn.Sequential(nn.Embedding(6, 4, padding_idx=0), nn.Flatten(), nn.Linear(12, 2))


def test_initialize_never_draws_the_row_of_padding() -> None:
    for module in (nn.Embedding(6, 4, padding_idx=-1), nn.EmbeddingBag(6, 4, padding_idx=5)):
        prunekit.initialize(module, "signed-constant", seed=3)
        assert (module.weight[5] == 0).all()
        assert (module.weight[:5] != 0).all()
    plain = nn.Embedding(6, 4)
    prunekit.initialize(plain, "signed-constant", seed=3)
    assert torch.equal(plain.weight[:5], module.weight[:5])


def test_a_tied_head_has_the_row_of_padding_at_zero_too() -> None:
    head, embedding = nn.Linear(4, 6, bias=False), nn.Embedding(6, 4, padding_idx=2)
    head.weight = embedding.weight
    prunekit.initialize(nn.ModuleList([head, embedding]), "uniform")
    assert (head.weight[2] == 0).all()
    assert (head.weight[3] != 0).all()


TOKENS = torch.tensor([[1, 2, 0], [3, 4, 5], [5, 0, 0], [2, 2, 1]]), torch.tensor([0, 1, 0, 1])


def learned_with_padding(init: str) -> prunekit.Learned:
    model = padded()
    prunekit.initialize(model, init, seed=4)
    reinit = prunekit.component("reinit", "iterand", period=1, rate=1.0)
    data = torch.utils.data.TensorDataset(*TOKENS)
    options: dict[str, Any] = {"epochs": 3, "batch_size": 4, "seed": 4, "init": init}
    return prunekit.learn(model, "edge-popup", data, density=0.5, reinit=reinit, **options)


@pytest.mark.parametrize("init", ["signed-constant", "kaiming-uniform"])
def test_a_learned_net_keeps_its_padding_through_redraws_and_as_a_ticket(
    tmp_path: Path, init: str
) -> None:
    learned = learned_with_padding(init)
    assert learned.history[-1]["redraws"] > 0
    assert (learned.model[0].weight[0] == 0).all()
    tickets.save(learned, tmp_path / "ticket")
    again = tickets.load(tmp_path / "ticket", arch=padded())
    for name, value in learned.model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_law_of_redraws_leaves_padding_at_zero_in_whole_and_in_parts() -> None:
    law = law_of(padded(), KaimingUniform(), 1).numbered(2)
    whole = law("0.weight", torch.Generator())
    assert (whole[0] == 0).all()
    assert (whole[1:] != 0).all()
    some = torch.tensor([3, 4, 23])
    assert torch.equal(law("0.weight", torch.Generator(), some), whole.view(-1)[some])


def test_the_weights_of_a_run_draw_its_padding_as_they_always_did() -> None:
    law = law_of(padded(), KaimingUniform(), 1, padding=True)
    assert (law("0.weight", torch.Generator())[0] != 0).all()
