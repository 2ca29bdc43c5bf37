"""The inits draw from the laws they state."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from prunekit_plugins.default import Default
from prunekit_plugins.kaiming_normal import KaimingNormal
from prunekit_plugins.kaiming_uniform import KaimingUniform
from torch import nn

from prunekit import Layer, PrunekitError, generator, testing
from prunekit.network import maskable_layers


@testing.check_inits(Default(), KaimingNormal(), KaimingUniform())
def test_inits_keep_the_contract(init: Any, check: Any) -> None:
    check(init)


def only_layer(module: nn.Module) -> Layer:
    return next(iter(maskable_layers(module).values()))


MODULES = [nn.Linear(50, 400), nn.Conv2d(8, 90, 3), nn.Conv2d(64, 640, 5, groups=64)]
FAN_INS = [50, 72, 25]


@pytest.mark.parametrize(("module", "fan_in"), list(zip(MODULES, FAN_INS)))
def test_kaiming_normal_has_variance_two_over_fan_in(module: nn.Module, fan_in: int) -> None:
    values = KaimingNormal().draw(only_layer(module), generator(0, "init"))
    sigma = math.sqrt(2 / fan_in)
    assert values.std().item() == pytest.approx(sigma, rel=0.04)
    assert values.abs().max() > 3 * sigma  # normal, not uniform


@pytest.mark.parametrize(("module", "fan_in"), list(zip(MODULES, FAN_INS)))
def test_kaiming_uniform_fills_its_bound(module: nn.Module, fan_in: int) -> None:
    values = KaimingUniform().draw(only_layer(module), generator(0, "init"))
    bound = math.sqrt(6 / fan_in)
    assert 0.99 * bound < values.abs().max() <= bound
    assert values.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.04)


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(6, 5),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.Embedding(9, 4),
        nn.LSTM(5, 4),
        nn.MultiheadAttention(8, 2),
    ],
)
def test_default_draws_what_the_layer_draws_itself(module: nn.Module) -> None:
    layer, twin = only_layer(module), copy.deepcopy(module)
    drawn = Default().draw(layer, generator(3, "init"))
    seed = int(torch.randint(2**62, (), generator=generator(3, "init")))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        getattr(twin, "reset_parameters", getattr(twin, "_reset_parameters", None))()
    assert torch.equal(drawn, twin.get_parameter(layer.name))
    assert not torch.equal(drawn, layer.parameter)


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3))


def test_default_names_the_layer_that_has_no_law() -> None:
    model = nn.ModuleDict({"mix": Product()})
    with pytest.raises(PrunekitError, match=r"mix\.weight cannot be redrawn: its Product has no"):
        Default().draw(only_layer(model), generator(0, "init"))
