"""`prunekit.initialize`: weights that are a function of init, seed, name and number."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import prunekit
from prunekit import PrunekitError
from prunekit.draws.chance import words
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
