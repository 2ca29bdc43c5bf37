"""Gains and heads that start at zero: scores see through them, and they stay at zero."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import prunekit
from prunekit import NumericalError

X, Y = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
BATCHES = [(X, Y)]


def net(head: float = 0.0, gain: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    nn.init.constant_(model[1].weight, gain)
    nn.init.constant_(model[3].weight, head)
    return model


@pytest.mark.parametrize("scorer", ["magnitude", "snip", "synflow", "row-norm", "random"])
def test_a_head_of_zeros_hides_nothing_and_stays_zero(scorer: str) -> None:
    model = net(gain=1.0)
    with pytest.warns(UserWarning, match=r"^1 of the model's tensors is 0 throughout .* 3.weight"):
        masks = prunekit.prune(model, scorer, "topk", density=0.5, batches=BATCHES, seed=1)
    assert masks.kept == 21
    assert 0 < int(masks["0.weight"].sum()) < 24
    assert 0 < int(masks["3.weight"].sum()) < 18
    assert not model[3].weight.any()
    assert torch.equal(model[0].weight != 0, masks["0.weight"])


def test_a_gain_of_zeros_counts_as_one_while_it_is_scored() -> None:
    with pytest.warns(UserWarning, match="1.weight"):
        scores = prunekit.score(model := net(head=0.5), "snip", batches=BATCHES)
    assert not model[1].weight.any()
    ones = prunekit.score(net(head=0.5, gain=1.0), "snip", batches=BATCHES)
    assert all(torch.equal(scores[name], ones[name]) for name in scores)


def test_the_draws_are_a_function_of_the_seed() -> None:
    found = []
    for seed in (0, 0, 1):
        with pytest.warns(UserWarning, match="3.weight"):
            found.append(prunekit.score(net(gain=1.0), "snip", batches=BATCHES, seed=seed))
    assert torch.equal(found[0]["0.weight"], found[1]["0.weight"])
    assert not torch.equal(found[0]["0.weight"], found[2]["0.weight"])


def test_a_scorer_that_reads_nothing_needs_no_gains() -> None:
    masks = prunekit.prune(net(head=0.5), "magnitude", density=0.5)
    assert masks.kept == 21


def test_what_a_mask_prunes_whole_is_not_filled() -> None:
    model, none = net(gain=1.0), torch.zeros(3, 6, dtype=torch.bool)
    scores = prunekit.score(model, "snip", batches=BATCHES, masks={"3.weight": none})
    assert not scores["0.weight"].any()
    assert not model[3].weight.any()


def test_an_error_leaves_the_zeros() -> None:
    model = net(gain=1.0)
    with pytest.warns(UserWarning, match="3.weight"), pytest.raises(NumericalError):
        prunekit.prune(model, "snip", density=0.5, batches=[(X * torch.nan, Y)])
    assert not model[3].weight.any()
    assert bool(model[0].weight.all())


def test_a_residual_network_as_timm_starts_it_is_pruned_exactly() -> None:
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=4)
    x = torch.randn(2, 3, 32, 32)
    with pytest.warns(UserWarning, match="layer1.0.bn2.weight"):
        masks = prunekit.prune(
            model, "snip", density=0.2, min_per_layer=1, batches=[(x, torch.tensor([0, 3]))]
        )
    assert masks.kept == round(0.2 * masks.total)
