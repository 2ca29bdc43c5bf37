"""The inits draw from the laws they state."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from prunekit_plugins.default import Default
from prunekit_plugins.hyperbolic import Hyperbolic
from prunekit_plugins.kaiming_normal import KaimingNormal
from prunekit_plugins.kaiming_uniform import KaimingUniform
from prunekit_plugins.signed_constant import SignedConstant
from prunekit_plugins.uniform import Uniform
from torch import Tensor, nn

from prunekit import Layer, PrunekitError, generator, testing
from prunekit.draws.chance import words
from prunekit.network.layers import maskable_layers


@testing.check_inits(
    Default(),
    Hyperbolic(low=0.1),
    KaimingNormal(),
    KaimingUniform(),
    SignedConstant(),
    SignedConstant(density=0.3),
    Uniform(),
    Uniform(bound=0.5),
)
def test_inits_keep_the_contract(init: Any, check: Any) -> None:
    check(init)


def only_layer(module: nn.Module) -> Layer:
    return next(iter(maskable_layers(module).values()))


def drawn(init: Any, layer: Layer) -> Tensor:
    return init.quantile(layer)(words(0, "init", layer.name, layer.parameter.numel()))


def layer_of(shape: list[int]) -> Layer:
    plain = len(shape) == 2
    return only_layer(
        nn.Linear(*shape[::-1]) if plain else nn.Conv2d(shape[1], shape[0], shape[2:])
    )


GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "init_scales.json").read_text())["rows"]


def rows(*modes: str) -> Any:
    """The golden rows of some modes, one test each."""
    found = [row for row in GOLDEN if row["mode"].startswith(modes)]
    assert found
    label = lambda row: f"{row['mode']}-{row['fan_in']}"  # noqa: E731
    return pytest.mark.parametrize("row", found, ids=label)


@rows("signed_constant")
def test_signed_constant_has_the_published_size(row: Any) -> None:
    """The scaled rows of hidden-networks: their prune_rate is the share kept, they use the rest."""
    init = SignedConstant()
    if "prune_rate_arg" in row:
        init = SignedConstant(density=1 - row["prune_rate_arg"])
    layer = layer_of(row["shape"])
    assert layer.fan_in == row["fan_in"]
    values = drawn(init, layer)
    assert values.abs().unique().tolist() == [float(torch.tensor(row["value"]))]
    assert (values > 0).double().mean().item() == pytest.approx(0.5, abs=2.5 / len(values) ** 0.5)


@rows("kaiming_uniform")
def test_kaiming_uniform_fills_the_published_bound(row: Any) -> None:
    values = drawn(KaimingUniform(), layer_of(row["shape"]))
    bound = float(torch.tensor(row["value"]))
    assert (1 - 7 / len(values)) * bound < values.abs().max() <= bound  # by chance once in 1,000
    assert values.std().item() == pytest.approx(row["expected_std"], rel=5 / len(values) ** 0.5)


@rows("kaiming_normal")
def test_kaiming_normal_has_the_published_deviation(row: Any) -> None:
    values = drawn(KaimingNormal(), layer_of(row["shape"]))
    assert values.std().item() == pytest.approx(row["value"], rel=5 / (2 * len(values)) ** 0.5)
    beyond = (values.abs() > 2 * row["value"]).double().mean().item()  # none, were it uniform
    assert beyond == pytest.approx(0.0455, abs=5 * 0.21 / len(values) ** 0.5)


@pytest.mark.parametrize("init", [KaimingNormal(), KaimingUniform(), SignedConstant()])
def test_the_fan_in_of_a_grouped_convolution_is_that_of_a_group(init: Any) -> None:
    values = drawn(init, only_layer(nn.Conv2d(64, 640, 5, groups=64)))
    assert values.std().item() == pytest.approx(math.sqrt(2 / 25), rel=0.04)


def test_uniform_is_the_same_in_every_layer() -> None:
    for layer in (layer_of([50, 200]), layer_of([10, 100, 3, 3])):
        values = drawn(Uniform(bound=0.5), layer)
        assert 0.49 < values.abs().max() <= 0.5
        assert values.std().item() == pytest.approx(0.5 / math.sqrt(3), rel=0.03)


def test_hyperbolic_has_as_many_weights_in_every_octave() -> None:
    """Ten octaves of 9,000 weights: 900 each, five sigma."""
    values = drawn(Hyperbolic(low=2.0**-10), layer_of([90, 100]))
    octave = values.abs().log2().floor().clamp(-10, -1)
    counts = torch.bincount((octave + 10).long(), minlength=10)
    assert counts.tolist() == pytest.approx([900] * 10, abs=5 * 900**0.5)
    assert (values > 0).double().mean().item() == pytest.approx(0.5, abs=2.5 / 9000**0.5)


@pytest.mark.parametrize(
    ("init", "options", "line"),
    [
        (Hyperbolic, {"low": 2.0}, r"low <= high <= 2\^90 low: low 2\.0, high 1\.0"),
        (Hyperbolic, {"low": 1e-30}, r"low <= high <= 2\^90 low"),
        (Uniform, {"bound": 0.0}, r"bound must be > 0: 0\.0"),
        (SignedConstant, {"density": 0.0}, r"density must lie in \[1e-06, 1\]: 0\.0"),
    ],
)
def test_options_that_give_no_law_are_refused(init: Any, options: Any, line: str) -> None:
    with pytest.raises(PrunekitError, match=line):
        init(**options)


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
