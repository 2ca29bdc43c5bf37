"""Layers whose scores are all 0: the message names the likely cause."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunekit.errors import NumericalError
from prunekit.network.model import Network
from tests.pruning.test_scoring import batch_norm_net, computed


def test_a_zero_initialised_layer_downstream_is_named_as_the_cause():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    nn.init.zeros_(model[1].weight)
    network = Network.of(model)
    scores = {"0.weight": torch.zeros(2, 2), "1.weight": torch.ones(2, 2)}
    with pytest.raises(NumericalError, match=r"0.weight is 0.*zero-initialised layer 1.weight"):
        computed(scores, network)


def test_a_zero_norm_gain_is_named_as_the_cause():
    model = batch_norm_net()
    nn.init.zeros_(model[1].weight)
    network = Network.of(model)
    scores = {name: torch.zeros_like(weight) for name, weight in network.weights.items()}
    with pytest.raises(NumericalError, match=r"zero-initialised norm gain 1.weight"):
        computed(scores, network)


def test_a_layer_that_no_path_reaches_is_said_to_have_none():
    with pytest.raises(NumericalError, match="no active path"):
        computed({"0.weight": torch.zeros(2, 2)})


def test_a_layer_without_weights_needs_no_score_above_zero():
    model = nn.Sequential(nn.Linear(2, 2))
    model.empty = nn.Conv1d(1, 1, 1)
    model.empty.weight = nn.Parameter(torch.zeros(0, 1, 1))
    network = Network.of(model)
    scores = {"0.weight": torch.ones(2, 2), "empty.weight": torch.zeros(0, 1, 1)}
    assert computed(scores, network)["empty.weight"].numel() == 0
