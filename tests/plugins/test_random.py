from __future__ import annotations

import pytest
import torch
from prunekit_plugins import random
from prunekit_plugins.random import Random, RandomMask
from torch import nn

import prunekit
from prunekit import Budget, Network, testing
from prunekit.draws.chance import generator


def network() -> Network:
    return Network.of(nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 20)))


def scored(seed: int) -> torch.Tensor:
    scores = Random().score(network(), [], torch.Generator().manual_seed(seed))
    return torch.cat([score.flatten() for score in scores.values()])


def test_random_is_offered_by_its_name():
    assert random.prunekit_scorers() == {"random": Random}
    assert random.prunekit_samplers() == {"random": RandomMask}


@testing.check_scorers(Random())
def test_random_keeps_the_scorer_contract(scorer, check):
    check(scorer)


def test_random_scores_are_positive_and_at_most_one():
    scores = scored(0)
    assert scores.min() > 0
    assert scores.max() <= 1


def test_random_scores_are_a_function_of_the_generator_alone():
    assert torch.equal(scored(3), scored(3))
    assert not torch.equal(scored(3), scored(4))


def test_the_mean_of_random_scores_is_one_half_within_five_standard_errors():
    scores = scored(0)  # of 1,800 weights; the standard deviation of U(0, 1] is 0.289
    assert abs(scores.mean() - 0.5) < 5 * 0.289 / 1800**0.5


@testing.check_samplers(RandomMask(), RandomMask(replacement=True))
def test_random_masks_keep_the_sampler_contract(sampler, check):
    check(sampler)


def masks_of(sampler: RandomMask, budget: Budget, runs: int) -> torch.Tensor:
    """(runs, 40): masks of two layers of 16 and 24 weights in a row."""
    rng, scores = generator(3), {"a": torch.zeros(4, 4), "b": torch.zeros(24)}
    drawn = [sampler.sample(scores, budget, rng).masks.values() for _ in range(runs)]
    return torch.stack([torch.cat([mask.flatten() for mask in masks]) for masks in drawn]).double()


def test_random_masks_without_replacement_keep_every_weight_equally_often():
    """4,000 masks of 10 in 40: |z| < 4.5 for all 40 z (one false alarm in 3,600 seeds)."""
    often = masks_of(RandomMask(), Budget(10), 4_000).mean(0)
    assert ((often - 0.25).abs() < 4.5 * (0.25 * 0.75 / 4_000) ** 0.5).all()


def test_random_masks_with_replacement_keep_the_share_that_the_paper_expects():
    """(1 - 1/D)^N = (1 - 1/40)^30 of D = 40; |z| < 4.5 over 4,000 masks."""
    shares = masks_of(RandomMask(replacement=True), Budget(10), 4_000).mean(1)
    assert abs(shares.mean() - (1 - 1 / 40) ** 30) < 4.5 * shares.std() / 4_000**0.5
    assert shares.min() >= 0.25


@pytest.mark.parametrize("replacement", [False, True])
def test_random_masks_follow_the_allocation(replacement):
    """By layer at a half: 8 of 16 and 12 of 24; with replacement at least so many."""
    kept = masks_of(RandomMask(replacement=replacement), Budget(20, "layer"), 50)
    first, second = kept[:, :16].sum(1), kept[:, 16:].sum(1)
    assert (first.min(), second.min()) >= (8, 12)
    assert replacement or (first.max(), second.max()) == (8, 12)


def test_random_masks_stand_in_a_run():
    masks = prunekit.prune(network().model, "magnitude", "random", density=0.25)
    assert masks.kept == 450
