"""How a scorer is run, and what its scores are checked for."""

from __future__ import annotations

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunekit.errors import NumericalError, PluginError, SpecError
from prunekit.network.model import Network
from prunekit.network.objective import Objective
from prunekit.pruning.scoring import (
    batch_losses,
    compute_scores,
    loss_gradient,
    scoring_mode,
    split_batches,
    sum_gradients,
)

X = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
Y = torch.tensor([0, 1])


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


# The mode of the model


def test_only_batch_norm_trains_while_scoring_in_train_mode():
    model = batch_norm_net()
    with scoring_mode(model, "train"):
        assert [module.training for module in model] == [False, True, False, False]
    with scoring_mode(model, "eval"):
        assert not any(module.training for module in model.modules())


def test_scoring_mode_restores_modes_buffers_flags_and_gradients_even_after_an_error():
    model = batch_norm_net().train()
    model[2].eval()
    model[0].weight.requires_grad_(False)
    gradient = model[3].weight.grad = torch.ones(2, 3)
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}

    def score_and_fail() -> None:
        with scoring_mode(model, "train"):
            model(X).sum().backward()  # moves the statistics and leaves gradients
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        score_and_fail()
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 5
    assert model[3].weight.grad is gradient
    assert torch.equal(gradient, torch.ones(2, 3))
    assert all(p.grad is None for p in model.parameters() if p is not model[3].weight)


def test_scoring_mode_measures_gradients_of_frozen_weights_under_no_grad():
    network = linear_network()
    network.model.requires_grad_(False)
    with torch.no_grad(), scoring_mode(network.model):
        gradients = sum_gradients([network.model(X).sum()], network.effective)
    assert torch.equal(gradients["0.weight"], torch.tensor([[4.0, 6.0], [4.0, 6.0]]))
    assert not network.model[0].weight.requires_grad


# Gradients


def test_gradients_are_summed_over_batches_and_their_parts():
    network = linear_network()
    batches = [(X, Y), (X[:1], Y[:1])]
    gradient = loss_gradient(network, batches, lambda logits, y: logits.sum(), split=2)
    assert torch.equal(gradient["0.weight"], torch.tensor([[5.0, 8.0], [5.0, 8.0]]))
    assert network.model[0].weight.grad is None


def test_the_gradient_of_an_unused_parameter_is_zero():
    network = linear_network()
    unused = nn.Parameter(torch.ones(3, 1))
    effective = {**network.effective, "unused": unused}
    with scoring_mode(network.model):
        gradients = sum_gradients([network.model(X).sum()], effective)
    assert torch.equal(gradients["unused"], torch.zeros(3, 1))


def test_no_batch_and_a_detached_loss_are_refused():
    network = linear_network()
    with pytest.raises(SpecError, match="at least one batch"):
        sum_gradients([], network.effective)
    with pytest.raises(NumericalError, match="depends on no weight"):
        sum_gradients([torch.tensor(1.0)], network.effective)


def test_one_graph_lives_at_a_time():
    alive, most = 0, 0

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            nonlocal alive
            alive -= 1
            return gradient

    network = linear_network()
    with scoring_mode(network.model):
        losses = (Counted.apply(network.model(X).sum()) for _ in range(5))
        sum_gradients(losses, network.effective)
    assert (alive, most) == (0, 1)


# Batches


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3), parts=st.integers(1, 12))
def test_split_batches_keep_every_example_in_order(sizes, parts):
    whole = [(torch.arange(size), torch.arange(size)) for size in sizes]
    cut = split_batches(whole, parts)
    assert len(cut) == sum(min(parts, size) for size in sizes)
    assert torch.equal(torch.cat([x for x, _ in cut]), torch.cat([x for x, _ in whole]))
    assert all(torch.equal(x, y) for x, y in cut)


def test_a_batch_of_five_is_halved_as_two_and_three_and_may_have_no_labels():
    cut = split_batches([(torch.arange(5), None)], 2)
    assert [(x.tolist(), y) for x, y in cut] == [([0, 1], None), ([2, 3, 4], None)]


@pytest.mark.parametrize(
    ("y", "complaint"),
    [
        (None, "needs labels"),
        (torch.tensor([0, 2]), r"must lie in \[0, 2\), the model's classes: 0 to 2"),
        (torch.tensor([-1, 0]), r"must lie in \[0, 2\)"),
        (torch.tensor([0.0, 1.0]), "class numbers"),
    ],
)
def test_labels_that_fit_no_class_are_refused_in_one_line(y, complaint):
    losses = batch_losses(linear_network().model, [(X, y)], nn.functional.cross_entropy)
    with pytest.raises(SpecError, match=complaint):
        next(losses)


def test_a_model_with_one_output_is_refused():
    losses = batch_losses(nn.Linear(2, 1), [(X, Y)], nn.functional.cross_entropy)
    with pytest.raises(SpecError, match=r"two or more classes: \(2, 1\)"):
        next(losses)


def test_a_loss_of_a_scorer_s_own_is_given_logits_and_class_numbers():
    labels = torch.tensor([[0, -100, 1]] * 2, dtype=torch.int32)
    given = []

    def noted(logits, y):
        given.append((tuple(logits.shape), y.dtype))
        return logits.sum()

    next(batch_losses(nn.Linear(2, 2), [(torch.ones(2, 3, 2), labels)], noted))
    assert given == [((2, 2, 3), torch.int64)]


def test_a_network_is_called_and_scored_as_its_objective_says():
    network = linear_network()
    network.objective = Objective(lambda outputs, y: outputs.sum() * y, lambda m, x: m(x["x"]))
    batch = ({"x": X}, torch.tensor(2.0))
    assert next(batch_losses(network, [batch])) == 2 * network.model(X).sum()
    gradient = loss_gradient(network, [batch])
    assert torch.equal(gradient["0.weight"], torch.tensor([[8.0, 12.0], [8.0, 12.0]]))
    mean = next(batch_losses(network, [({"x": X}, Y)], Objective("mse", network.objective.forward)))
    assert mean == nn.functional.mse_loss(network.model(X), torch.eye(2))


def test_batch_norm_in_train_mode_on_one_example_is_refused_in_one_line():
    model = batch_norm_net()
    with (
        scoring_mode(model, "train"),
        pytest.raises(SpecError, match="cannot normalise a batch of 1"),
    ):
        next(batch_losses(model, [(X[:1], Y[:1])], nn.functional.cross_entropy))


# What a scorer returned


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
            {"0.weight": torch.ones(2, 2), "b": X},
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
