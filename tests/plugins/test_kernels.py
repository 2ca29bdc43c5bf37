from __future__ import annotations

import pytest
import torch
from prunekit_plugins import kernels
from prunekit_plugins.kernels import Kernels
from torch import nn

import prunekit
from prunekit import Budget, testing
from prunekit.draws.chance import generator

FILTERS = torch.tensor([[[[1.0, -2.0]], [[0.0, 1.0]]], [[[-4.0, 0.0]], [[2.0, 3.0]]]])
"""Shape (2, 2, 1, 2): the L1 norms of the four kernels are 3, 1, 4, 5."""


def sample(budget: Budget, **scores: torch.Tensor) -> dict[str, list[int]]:
    masks = Kernels().sample(scores, budget, generator(0)).masks
    return {name: mask.int().flatten().tolist() for name, mask in masks.items()}


def test_kernels_is_offered_by_its_name():
    assert kernels.prunekit_samplers() == {"kernels": Kernels}


@testing.check_samplers(Kernels())
def test_kernels_keeps_the_sampler_contract(sampler, check):
    check(sampler)


def test_the_kernels_with_the_largest_l1_norm_are_kept_whole():
    assert sample(Budget(4), w=FILTERS) == {"w": [0, 0, 0, 0, 1, 1, 1, 1]}
    assert sample(Budget(6), w=FILTERS) == {"w": [1, 1, 0, 0, 1, 1, 1, 1]}


def test_a_count_that_splits_a_kernel_goes_to_the_nearest():
    assert sum(sample(Budget(5), w=FILTERS)["w"]) == 4  # 2.5 kernels round to the even 2
    assert sum(sample(Budget(1), w=FILTERS)["w"]) == 2  # a layer that keeps any keeps a kernel


def test_a_weight_of_a_linear_layer_is_a_kernel_of_its_own():
    both = {"w": FILTERS, "v": torch.tensor([[4.5, 0.5, 2.0]])}
    assert sample(Budget(5), **both) == {"w": [0, 0, 0, 0, 1, 1, 1, 1], "v": [1, 0, 0]}


def test_each_layer_gets_its_share_when_the_allocation_is_by_layer():
    found = sample(Budget(8, "layer"), big=10 * FILTERS, small=FILTERS)
    assert [sum(mask) for mask in found.values()] == [4, 4]


def test_a_kernel_that_may_not_compete_is_not_kept():
    competing = {"w": torch.ones(2, 2, 1, 2, dtype=torch.bool)}
    competing["w"][1, 1] = False
    found = sample(Budget(4, competing=competing), w=FILTERS * competing["w"])
    assert found == {"w": [1, 1, 0, 0, 1, 1, 0, 0]}


@pytest.mark.parametrize("q", [1, 3])
def test_the_masks_of_a_network_repeat_over_each_kernel(q):
    net = nn.Sequential(nn.Conv2d(4, 6, q, bias=False), nn.Flatten(), nn.LazyLinear(5))
    net(torch.zeros(1, 4, 8, 8))
    masks = prunekit.prune(net, "magnitude", "kernels", density=0.5)
    kept = masks["0.weight"].flatten(2).int().sum(-1)
    assert set(kept.flatten().tolist()) <= {0, q * q}
    assert abs(masks.density - 0.5) < 0.02
