"""Each init check catches the component that breaks it, and only that one."""

from __future__ import annotations

import attrs
import pytest
import torch

import prunekit
from prunekit import testing


@attrs.frozen
class Good:
    def draw(self, layer, rng):
        return torch.randn(layer.shape, generator=rng)


@attrs.frozen
class ForgetsGroups(Good):
    def draw(self, layer, rng):
        groups = getattr(layer.module, "groups", 1)
        return Good.draw(self, layer, rng).repeat_interleave(groups, 1)


@attrs.frozen
class Float64(Good):
    def draw(self, layer, rng):
        return Good.draw(self, layer, rng).double()


@attrs.frozen
class DividesByZero(Good):
    def draw(self, layer, rng):
        return Good.draw(self, layer, rng) / (layer.fan_in - 5)


@attrs.frozen
class WritesItself(Good):
    def draw(self, layer, rng):
        with torch.no_grad():
            return layer.parameter.normal_(generator=rng).clone()


@attrs.frozen
class OwnChance(Good):
    def draw(self, layer, rng):
        with torch.random.fork_rng(devices=[]):
            return torch.randn(layer.shape)


@attrs.frozen
class DrawsFromTorch(Good):
    def draw(self, layer, rng):
        torch.rand(3)
        return Good.draw(self, layer, rng)


@attrs.frozen
class ByCounter:
    def quantile(self, layer):
        return prunekit.Uniform(1.0)


@attrs.frozen
class Normalises(ByCounter):
    def quantile(self, layer):
        uniform = prunekit.Uniform(1.0)
        return lambda words: uniform(words) - uniform(words).mean()


@attrs.frozen
class ReadsTheWeights(ByCounter):
    def quantile(self, layer):
        return prunekit.Uniform(1.0 if layer.parameter is None else 2.0)


BROKEN = [
    (ForgetsGroups(), "check_values_have_the_shape_of_the_layer"),
    (Float64(), "check_values_are_float32_on_the_cpu"),
    (DividesByZero(), "check_values_are_finite"),
    (WritesItself(), "check_layer_is_as_before"),
    (OwnChance(), "check_same_rng_gives_same_values"),
    (DrawsFromTorch(), "check_global_generators_are_untouched"),
    (ReadsTheWeights(), "check_only_fan_in_and_shape_are_read"),
    (Normalises(), "check_values_are_elementwise"),
]


@pytest.mark.parametrize("init", [Good(), ByCounter()], ids=lambda v: type(v).__name__)
def test_a_good_init_passes_every_check(init):
    assert testing.problems("init", init) == []


@pytest.mark.parametrize(("init", "check"), BROKEN, ids=lambda v: type(v).__name__)
def test_a_broken_init_fails_its_check_and_no_other(init, check):
    failed = [line.partition(":")[0] for line in testing.problems("init", init)]
    assert failed == [check]


def test_every_init_check_has_a_component_that_breaks_it():
    own = [c for c in testing.CHECKS["init"] if c.__module__ == "prunekit.testing.inits"]
    assert {check for _, check in BROKEN} == {check.__name__ for check in own}
