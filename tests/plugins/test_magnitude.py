from __future__ import annotations

import torch
from prunekit_plugins import magnitude
from prunekit_plugins.magnitude import Magnitude
from torch import nn

import prunekit
from prunekit import testing


def model() -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    net[0].weight.data = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    return net


def test_magnitude_is_offered_by_its_name():
    assert magnitude.prunekit_scorers() == {"magnitude": Magnitude}


@testing.check_scorers(Magnitude())
def test_magnitude_keeps_the_scorer_contract(scorer, check):
    check(scorer)


def test_magnitude_is_the_absolute_weight():
    scores = prunekit.score(model(), "magnitude")
    assert torch.equal(scores["0.weight"], torch.tensor([[1.0, 2.0], [0.0, 3.0]]))


def test_a_pruned_weight_scores_zero_once_the_core_has_seen_it():
    masks = {"0.weight": torch.tensor([[True, True], [True, False]])}
    scores = prunekit.score(model(), "magnitude", masks=masks)
    assert torch.equal(scores["0.weight"], torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
