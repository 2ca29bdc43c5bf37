"""How a model is called on a batch, and the loss that it comes to."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.errors import SpecError
from prunekit.network.objective import Objective, batch_of

X, Y = torch.eye(2), torch.tensor([0, 1])


class Sum(nn.Module):
    """Logits of two inputs; its own loss where it is given labels."""

    def forward(self, a: Tensor, b: Tensor, labels: Tensor | None = None) -> Any:
        loss = None if labels is None else (a + b).sum() * labels.sum()
        return SimpleNamespace(logits=a + b, loss=loss)


class Plain(nn.Module):
    def forward(self, a: Tensor) -> Tensor:
        return a


def test_what_a_loader_gives_is_inputs_and_labels():
    assert batch_of((X, Y)) == (X, Y)
    assert batch_of([X, Y]) == (X, Y)
    assert batch_of(X) == (X, None)
    assert batch_of((X, X, Y)) == ((X, X), Y)
    assert batch_of({"a": X, "labels": Y}) == ({"a": X, "labels": Y}, Y)
    assert batch_of({"a": X}) == ({"a": X}, None)
    for other in (3, "text", None, [], object()):
        with pytest.raises(SpecError, match="a batch must be a pair"):
            batch_of(other)


@pytest.mark.parametrize("inputs", [(X, 2 * X), {"a": X, "b": 2 * X}])
def test_a_tuple_is_arguments_and_a_mapping_keyword_arguments(inputs):
    found = Objective().of(Sum(), (inputs, Y))
    assert torch.equal(found.outputs.logits, 3 * X)
    assert float(found.loss) == pytest.approx(math.log(1 + math.exp(-3)))
    assert (int(found.counted), int(found.correct)) == (2, 2)


def test_the_model_s_own_loss_is_minimised_where_none_is_named():
    batch = batch_of({"a": X, "b": X, "labels": Y})
    assert Objective().of(Sum(), batch).loss == 4
    assert Objective("cross-entropy").of(Sum(), batch).loss != 4


def test_labels_in_a_mapping_reach_a_model_that_takes_them_only():
    named = Objective().of(Plain(), batch_of({"a": X, "labels": Y}))
    assert torch.equal(named.loss, Objective().of(Plain(), (X, Y)).loss)


def test_a_callable_is_given_outputs_and_labels_as_they_are():
    labels = (Y, X)

    def both(outputs: Tensor, given: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(outputs, given[0]) + F.mse_loss(outputs, given[1])

    found = Objective(both).of(Plain(), (X, labels))
    assert torch.equal(found.loss, F.cross_entropy(X, Y))


def test_a_forward_of_one_s_own_replaces_the_call():
    objective = Objective(forward=lambda model, inputs: model(inputs["x"]["y"]))
    assert torch.equal(objective.of(Plain(), ({"x": {"y": X}}, Y)).outputs, X)


def test_a_temperature_divides_logits_and_nothing_else():
    found = Objective(temperature=2.0).of(Plain(), (X, Y))
    assert torch.equal(found.loss, F.cross_entropy(X / 2, Y))
    for objective in (
        Objective(F.cross_entropy, temperature=2.0),
        Objective(temperature=2.0, forward=lambda model, x: {"loss": x.sum()}),
    ):
        with pytest.raises(SpecError, match=r"model's own; give temperature=1$"):
            objective.of(Plain(), (X, Y))


def test_a_sum_is_the_mean_times_what_counts():
    labels = torch.tensor([1, -100])
    mean, total = (Objective().outcome(X, labels, total=total).loss for total in (False, True))
    assert torch.equal(mean, total)
    for loss in (F.cross_entropy, "mse"):
        mean, total = (Objective(loss).outcome(X, X, total=total).loss for total in (False, True))
        assert float(total) == pytest.approx(float(mean) * (2 if callable(loss) else 4))


def test_examples_count_once_however_many_labels_they_have():
    loss = Objective(lambda outputs, labels: outputs.sum())
    outputs = torch.zeros(3, 2)
    three = torch.zeros(3)
    for labels in (three, (three, Y), {"a": three, "b": Y}, [{}, {}, {}], torch.tensor(1.0), None):
        assert int(loss.outcome(outputs, labels).counted) == 3


def test_labels_that_are_the_inputs_are_refused_unless_a_loss_is_named():
    tokens = torch.tensor([[0, 1, 2], [2, 1, 0]])
    logits = torch.zeros(2, 3, 5)
    for inputs in (tokens, tokens.clone(), {"ids": tokens.clone()}, (tokens, None)):
        with pytest.raises(SpecError, match="each token is predicted from itself; shift them"):
            Objective().check(logits, tokens, inputs)
        if not isinstance(inputs, dict):
            Objective("cross-entropy").check(logits, tokens, inputs)
    Objective().check(logits, tokens, {"ids": tokens + 1, "labels": tokens})


def test_labels_that_are_the_tokens_of_a_mapping_where_they_count_are_refused_for_any_loss():
    tokens = torch.tensor([[0, 1, 2], [2, 1, 0]])
    labels = tokens.masked_fill(tokens == 0, -100)
    for loss in (None, "cross-entropy"):
        with pytest.raises(SpecError, match="each token is predicted from itself; shift them"):
            Objective(loss).check(torch.zeros(2, 3, 5), labels, {"ids": tokens, "labels": labels})
    ones = torch.tensor([[-100, 1, -100], [1, -100, -100]])  # a tag, beside an attention mask
    masks = {"ids": tokens, "mask": torch.ones_like(tokens), "labels": ones}
    Objective("cross-entropy").check(torch.zeros(2, 3, 5), ones, masks)


@pytest.mark.parametrize(
    ("objective", "batch", "message"),
    [
        (Objective(), (torch.zeros(2, 1), Y), "two or more classes"),
        (Objective(), (X, None), "a loss needs labels"),
        (Objective(), (X, (Y, Y)), "several labels.* need a loss of their own"),
        (Objective(), ((X, X), Y), r"not take inputs \(\(2, 2\) float32, .*2 positional arguments"),
        (Objective(), ({"b": X}, Y), r"does not take inputs {b: \(2, 2\) float32} \(.*'b'\)"),
        (Objective(F.cross_entropy), (X, Y[:1]), r"loss does not take outputs .* batch_size"),
        (Objective(lambda o, y: o), (X, Y), r"loss must return one number, a mean: \(2, 2\)"),
        (Objective(lambda o, y: 1.0), (X, Y), "loss must return one number, a mean: float"),
        (Objective(lambda o, y: o.nothing), (X, Y), "loss does not take .*no attribute 'nothing'"),
        (Objective(forward=lambda m, x: x["a"]), (X, Y), "the model does not take inputs"),
    ],
)
def test_what_does_not_fit_is_one_line(objective, batch, message):
    with pytest.raises(SpecError, match=message) as caught:
        objective.of(Plain(), batch)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "hinge"}, "no loss is named 'hinge'; choose from cross-entropy, binary, mse"),
        ({"loss": 3}, "loss must be a callable: int"),
        ({"forward": "call"}, "forward must be a callable: str"),
        ({"loss": "mse", "label_smoothing": 0.1}, "label_smoothing acts on cross-entropy only"),
    ],
)
def test_an_objective_that_makes_no_sense_is_one_line(arguments, message):
    with pytest.raises(SpecError, match=message):
        Objective(**arguments)


def test_logits_and_class_numbers_are_found_whatever_the_loss_is():
    logits, y = Objective("mse").classes(torch.zeros(2, 3, 5), torch.ones(2, 3, dtype=torch.int32))
    assert (logits.shape, y.dtype) == ((2, 5, 3), torch.int64)
