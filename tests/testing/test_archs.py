"""Each architecture check catches the component that breaks it, and only that one."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from prunekit import testing


@attrs.frozen
class Good:
    def build(self, input_shape, classes):
        return nn.Sequential(
            nn.Conv2d(input_shape[0], 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3600, classes)
        )


@attrs.frozen
class TenClasses(Good):
    def build(self, input_shape, classes):
        return Good.build(self, input_shape, 10)


@attrs.frozen
class ColorOnly(Good):
    def build(self, input_shape, classes):
        return Good.build(self, (3, 32, 32), classes)


@attrs.frozen
class Infinite(Good):
    def build(self, input_shape, classes):
        net = Good.build(self, input_shape, classes)
        net[3].weight.data.fill_(float("inf"))
        return net


@attrs.frozen
class NothingToPrune:
    def build(self, input_shape, classes):
        return nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(classes))


@attrs.frozen
class IdleLayer(Good):
    def build(self, input_shape, classes):
        net = Good.build(self, input_shape, classes)
        net[1].spare = nn.Linear(3, 3)
        return net


NETWORKS: dict[tuple, nn.Module] = {}


@attrs.frozen
class SharedNetwork(Good):
    def build(self, input_shape, classes):
        key = (input_shape, classes)
        return NETWORKS.setdefault(key, Good.build(self, input_shape, classes))


@attrs.frozen
class OwnChance(Good):
    def build(self, input_shape, classes):
        net = Good.build(self, input_shape, classes)
        net[3].bias.data.copy_(torch.from_numpy(np.random.rand(classes)))
        return net


BROKEN = [
    (TenClasses(), "check_inputs_give_one_logit_a_class"),
    (ColorOnly(), "check_gray_images_give_one_logit_a_class"),
    (Infinite(), "check_logits_are_finite"),
    (NothingToPrune(), "check_something_is_maskable"),
    (IdleLayer(), "check_every_maskable_weight_is_used"),
    (SharedNetwork(), "check_networks_are_fresh"),
    (OwnChance(), "check_same_seed_gives_same_weights"),
]


def test_a_good_architecture_passes_every_check():
    assert testing.problems("arch", Good()) == []


@pytest.mark.parametrize(("arch", "check"), BROKEN, ids=lambda v: type(v).__name__)
def test_a_broken_architecture_fails_its_check_and_no_other(arch, check):
    failed = [line.partition(":")[0] for line in testing.problems("arch", arch)]
    assert failed == [check]


def test_every_architecture_check_has_a_component_that_breaks_it():
    own = [c for c in testing.CHECKS["arch"] if c.__module__ == "prunekit.testing.archs"]
    assert {check for _, check in BROKEN} == {check.__name__ for check in own}
