from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from prunekit_plugins.topk import TopK, kth_threshold

from prunekit import Budget, Nearby, testing
from prunekit.draws.chance import generator
from prunekit.selection.nearby import kth_on_device

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "pruned_counts.json").read_text())

SCORES = {"a": torch.tensor([[4.0, 2.0], [2.0, 1.0]]), "b": torch.tensor([3.0, -1.0])}
LAYERS = ["a", "b"]


@testing.check_samplers(TopK(), TopK(rule="kth"), TopK(rule="truncate"))
def test_topk_keeps_the_sampler_contract(sampler, check):
    check(sampler)


def test_only_the_exact_rule_promises_the_budget():
    assert [TopK(rule=rule).exact for rule in ("exact", "kth", "truncate")] == [True, False, False]


def kept(rule: str, budget: Budget) -> list[list[int]]:
    masks = TopK(rule=rule).sample(SCORES, budget, generator(0)).masks
    return [masks[name].reshape(-1).int().tolist() for name in LAYERS]


def test_exact_keeps_the_asked_number_of_all_weights_and_of_each_layer():
    assert kept("exact", Budget(3)) == [[1, 1, 0, 0], [1, 0]]
    assert kept("exact", Budget(3, allocation="layer")) == [[1, 1, 0, 0], [1, 0]]
    assert kept("exact", Budget(2, densities=["b=1"])) == [[0, 0, 0, 0], [1, 1]]
    assert TopK().sample(SCORES, Budget(3), generator(0)).scale is None


def test_kth_keeps_all_that_tie_with_the_threshold():
    """Global: n = 6, p = 0.5, k = 1 + round(2.5) = 3, t = 2: four weights reach it."""
    assert kept("kth", Budget(3)) == [[1, 1, 1, 0], [1, 0]]


def test_kth_of_a_layer_ranks_that_layer_only():
    """a: k = 1 + round(1.5) = 3, t = 2; b: k = 1 + round(0.5) = 1, t = -1."""
    assert kept("kth", Budget(3, allocation="layer")) == [[1, 1, 1, 0], [1, 1]]


def test_truncate_prunes_the_first_of_equal_scores():
    assert kept("truncate", Budget(3)) == [[1, 0, 1, 0], [1, 0]]
    assert kept("truncate", Budget(3, allocation="layer")) == [[1, 0, 1, 0], [1, 0]]


def test_a_published_rule_reads_the_exact_density_where_it_is_given():
    """truncate, n = 6: int(0.5 * 6) = 3 pruned; of density 0.6, int(0.4 * 6) = 2."""
    assert kept("truncate", Budget(3, density=0.6)) == [[1, 1, 1, 0], [1, 0]]


def test_a_published_rule_with_rules_by_layer_takes_their_densities():
    assert kept("truncate", Budget(3, densities=["a=0.25"])) == [[1, 0, 0, 0], [1, 1]]


@pytest.mark.parametrize("rule", ["exact", "kth", "truncate"])
def test_what_does_not_compete_ranks_lowest_and_is_never_kept(rule):
    competing = {"a": torch.tensor([[False, True], [True, True]]), "b": torch.tensor([True, True])}
    for allocation in ("global", "layer"):
        masks = kept(rule, Budget(2, allocation, competing=competing))
        assert masks[0][0] == 0
        assert 1 in masks[0]


def pruned_by(rule: str, n: int, density: float) -> int:
    scores = {"w": torch.randperm(n, generator=generator(n)).double()}
    budget = Budget(round(density * n), density=density)
    masks = TopK(rule=rule).sample(scores, budget, generator(0)).masks
    return n - int(masks["w"].sum())


def test_published_rules_prune_the_golden_numbers():
    rows = [row for row in GOLDEN["rows"] if row[0] <= 2_000]
    assert len(rows) > 100
    for n, p, by_kth, by_sort in rows:
        assert pruned_by("kth", n, 1 - p) == by_kth, (n, p)
        assert pruned_by("truncate", n, 1 - p) == by_sort, (n, p)


def test_the_threshold_reproduces_the_published_float_product():
    """0.01 * (0.7 * 100) * 15 rounds to 10 or 11: the published expression gives 11 pruned."""
    scores = torch.arange(16.0)
    assert kth_threshold(scores, 0.7) == 11.0
    assert kth_threshold(scores, 0.0) == 0.0
    assert kth_threshold(scores, 1.0) == 15.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_threshold_that_stays_on_a_device_is_that_of_the_cpu(dtype):
    scores = torch.randn(50, 20, generator=generator(0, "scores")).to(dtype).round(decimals=1)
    for k in (1, 500, 501, 1000):
        found = kth_on_device(scores, k)
        assert isinstance(found, torch.Tensor)
        assert found == Nearby().kth_smallest(scores, k)


@pytest.mark.gpu
def test_a_gpu_keeps_what_the_cpu_keeps():
    scores = {"w": torch.randn(200, 300, generator=generator(0, "scores"))}
    budget = Budget(30_000, "layer", density=0.5)
    there, here = (
        TopK("kth").follow(scores, budget).thresholds(scores)["w"]
        for scores in ({"w": scores["w"].cuda()}, scores)
    )
    assert there.device.type == "cuda"
    assert there.item() == here
