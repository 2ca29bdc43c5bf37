"""What a scorer returned, and what it is checked for."""

from __future__ import annotations

import attrs
import pytest
import torch
from torch import nn

from prunekit.errors import NumericalError, PluginError
from prunekit.network.model import Network
from prunekit.pruning.scoring import compute_scores


def linear_network(weight=((1.0, 2.0), (3.0, 4.0))) -> Network:
    model = nn.Sequential(nn.Linear(2, 2, bias=False))
    model[0].weight.data = torch.tensor(weight)
    return Network.of(model, input_shape=(2,))


def batch_norm_net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))


@attrs.frozen
class Fixed:
    """A scorer that returns what it was made with."""

    scores: object

    def score(self, network, batches, rng):
        return self.scores


def computed(scores, network=None, **options):
    rng = torch.Generator()
    network = network or linear_network()
    return compute_scores(Fixed(scores), network, [], rng, owner="fixed", **options)


def test_scores_of_weights_that_may_not_compete_are_zero():
    competing = {"0.weight": torch.tensor([[True, False], [False, True]])}
    scores = computed({"0.weight": torch.tensor([[1.0, 2.0], [-3.0, -4.0]])}, competing=competing)
    assert torch.equal(scores["0.weight"], torch.tensor([[1.0, 0.0], [0.0, -4.0]]))


def test_zeroing_scores_leaves_a_network_whose_weights_were_returned_alone():
    network = linear_network()
    competing = {"0.weight": torch.tensor([[True, False], [False, False]])}
    computed(dict(network.weights), network, competing=competing)
    assert torch.equal(network.weights["0.weight"], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


def test_half_precision_scores_become_float32_and_double_stays():
    half, double = torch.ones(2, 2, dtype=torch.bfloat16), torch.ones(2, 2, dtype=torch.float64)
    assert computed({"0.weight": half})["0.weight"].dtype == torch.float32
    assert computed({"0.weight": double})["0.weight"].dtype == torch.float64


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        ([1.0], "scorer fixed must return a mapping from name to tensor: list"),
        ({}, "scorer fixed returned no score named '0.weight'"),
        (
            {"0.weight": torch.ones(2, 2), "b": torch.ones(2, 2)},
            "scorer fixed returned an unknown score named 'b'",
        ),
        ({"0.weight": torch.ones(4)}, r"shape \(4,\) for 0.weight; expected \(2, 2\)"),
        ({"0.weight": torch.ones(2, 2).bool()}, "0.weight is torch.bool"),
        ({"0.weight": 1.0}, "0.weight is float"),
    ],
)
def test_a_scorer_that_breaks_its_contract_is_named(scores, complaint):
    with pytest.raises(PluginError, match=complaint):
        computed(scores)


@pytest.mark.parametrize("first_round", [True, False])
def test_scores_that_are_not_finite_are_refused_in_every_round(first_round):
    bad = torch.tensor([[1.0, float("nan")], [float("inf"), float("-inf")]])
    with pytest.raises(NumericalError, match=r"1 NaN and 2 infinite of 4 scores in 0.weight") as it:
        computed({"0.weight": bad}, first_round=first_round)
    assert "overflow in float32; score in float64" in str(it.value)
    assert it.value.exit_code == 6


def test_weights_that_are_not_finite_are_named_as_the_cause():
    network = linear_network(((float("nan"), 1.0), (1.0, 1.0)))
    with pytest.raises(NumericalError, match=r"the weights of 0.weight are not finite"):
        computed({"0.weight": network.weights["0.weight"]}, network)


def test_an_all_zero_layer_is_an_error_in_the_first_round_only():
    zeros = {"0.weight": torch.zeros(2, 2)}
    with pytest.raises(NumericalError, match=r"every score of 0.weight is 0"):
        computed(zeros)
    assert not computed(zeros, first_round=False)["0.weight"].any()


def test_only_weights_that_may_compete_count_for_an_all_zero_layer():
    scores = {"0.weight": torch.tensor([[0.0, 1.0], [1.0, 1.0]])}
    one, none = torch.tensor([[True, False], [False, False]]), torch.zeros(2, 2, dtype=torch.bool)
    with pytest.raises(NumericalError, match=r"every score of 0.weight is 0"):
        computed(scores, competing={"0.weight": one})
    assert not computed(scores, competing={"0.weight": none})["0.weight"].any()


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
