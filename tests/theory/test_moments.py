from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.theory.studies.moments import matrices, weight_moments


def test_moments_of_four_weights_are_those_by_hand():
    """1, -1, 2, -2: mean 0, variance 2.5, fourth moment 8.5; the larger width is 2."""
    (row,), _ = weight_moments(model={"w": torch.tensor([[1.0, -1.0], [2.0, -2.0]])})
    assert (row["mean"], row["variance"], row["fourth moment"]) == (0, 2.5, 8.5)
    assert (row["K1"], row["K2"]) == (5, 34)
    assert row["kurtosis"] == pytest.approx(8.5 / 6.25)
    assert row["holds"]


def test_uniform_weights_have_the_constants_of_theorem_2():
    """U(-1, 1)/sqrt(d): K1 = 1/3, K2 = 1/5; 60,000 weights, each within 4.5 standard errors."""
    d, rng = 300, generator(7)
    weight = (2 * torch.rand((200, d), generator=rng, dtype=torch.float64) - 1) / math.sqrt(d)
    (row,), _ = weight_moments(model={"w": weight})
    assert abs(row["K1"] - 1 / 3) < 4.5 * math.sqrt((1 / 5 - 1 / 9) / 60_000)
    assert abs(row["K2"] - 1 / 5) < 4.5 * math.sqrt((1 / 9 - 1 / 25) / 60_000)
    assert abs(row["mean / se"]) < 4.5


def test_a_layer_above_the_given_constants_does_not_hold():
    model = {"a": torch.tensor([[1.0, -1.0]]), "b": torch.tensor([[3.0, -3.0]])}
    rows, _ = weight_moments(model=model, K1=2, K2=4)
    assert [row["holds"] for row in rows] == [True, False]


def test_a_mean_far_from_zero_does_not_hold():
    (row,), _ = weight_moments(model={"w": torch.ones(10, 10)})
    assert row["mean / se"] == pytest.approx(10)
    assert not row["holds"]


def test_layers_of_a_module_are_matrices_and_biases_are_left_out():
    net = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(6, 2))
    found = matrices(net)
    assert {name: tuple(m.shape) for name, m in found.items()} == {
        "0.weight": (4, 75),
        "2.weight": (2, 6),
    }


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({}, "no weight with two dimensions"),
        (nn.ReLU(), "no weight with two dimensions"),
        ({"w": torch.full((2, 2), math.nan)}, "NaN or infinity in w"),
    ],
)
def test_what_has_no_moments_is_said_in_one_line(model, message):
    with pytest.raises(SpecError, match=message):
        weight_moments(model=model)
