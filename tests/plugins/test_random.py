from __future__ import annotations

import torch
from prunekit_plugins import random
from prunekit_plugins.random import Random
from torch import nn

from prunekit import Network, testing


def network() -> Network:
    return Network.of(nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 20)))


def scored(seed: int) -> torch.Tensor:
    scores = Random().score(network(), [], torch.Generator().manual_seed(seed))
    return torch.cat([score.flatten() for score in scores.values()])


def test_random_is_offered_by_its_name():
    assert random.prunekit_scorers() == {"random": Random}


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
