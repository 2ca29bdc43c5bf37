"""The named losses: which outputs and labels meet, the loss, and how many are right."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from prunekit.errors import SpecError
from prunekit.network.losses import LOSSES, as_targets, described, logits_of, own_loss

CROSS, BINARY, MSE = (LOSSES[name] for name in ("cross-entropy", "binary", "mse"))
LOG_3 = math.log(3)


def met(loss: Any, logits: Tensor, labels: Tensor) -> tuple[float, int, int | None]:
    """The mean loss, how many count and how many of them are right."""
    logits, y = loss.met(logits, labels)
    loss.check(logits, y)
    right = loss.correct(logits, y)
    value = float(loss.loss(logits, y, 0.0, "mean"))
    return value, int(loss.counted(y)), None if right is None else int(right)


# Cross-entropy: logits of one class (0) or log 3 (1) in two classes make odds of 1 to 3


@pytest.mark.parametrize(
    ("shape", "axis", "labels"),
    [
        ((4, 2), 1, (4,)),
        ((4, 2, 5), 1, (4, 5)),
        ((4, 5, 2), 2, (4, 5)),
        ((4, 2, 5, 6), 1, (4, 5, 6)),
        ((4, 5, 6, 2), 3, (4, 5, 6)),
        ((4, 2, 3, 5, 6), 1, (4, 3, 5, 6)),
    ],
)
def test_classes_are_the_axis_that_labels_lack(shape, axis, labels):
    logits = torch.zeros(shape)
    logits.select(axis, 1).fill_(LOG_3)
    count = math.prod(labels)
    right = met(CROSS, logits, torch.ones(labels, dtype=torch.int64))
    wrong = met(CROSS, logits, torch.zeros(labels, dtype=torch.int64))
    assert right == (pytest.approx(math.log(4 / 3)), count, count)
    assert wrong == (pytest.approx(math.log(4)), count, 0)


def test_labels_of_minus_100_do_not_count():
    logits = torch.tensor([[0.0, LOG_3], [0.0, 9.0], [LOG_3, 0.0]])
    found = met(CROSS, logits, torch.tensor([1, -100, 1]))
    assert found == (pytest.approx((math.log(4 / 3) + math.log(4)) / 2), 2, 1)


def test_small_integers_are_class_numbers_too():
    logits = torch.tensor([[0.0, LOG_3]])
    for dtype in (torch.int32, torch.uint8, torch.bool):
        assert met(CROSS, logits, torch.ones(1, dtype=dtype))[2] == 1


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((4, 1), torch.zeros(4, dtype=torch.int64), "two or more classes.*binary or mse"),
        ((4,), torch.zeros(4, dtype=torch.int64), "two or more classes"),
        ((4, 3), torch.zeros(4), "must be class numbers .int64.: torch.float32; say loss = mse"),
        ((4, 3), torch.zeros(4, 3), "must be class numbers"),
        (
            (4, 3),
            F.one_hot(torch.arange(4) % 3),
            r"labels \(4, 3\) int64 do not fit logits \(4, 3\)",
        ),
        ((4, 3), torch.zeros(4, 1, dtype=torch.int64), r"labels \(4, 1\) int64 do not fit"),
        ((8, 3), torch.zeros(16, dtype=torch.int64), r"labels \(16,\) int64 do not fit logits"),
        ((8, 3), torch.zeros(4, dtype=torch.int64), r"labels \(4,\) int64 do not fit logits"),
        ((8, 3), torch.tensor(0), r"labels \(\) int64 do not fit"),
        ((4, 3, 3), torch.zeros(4, 3, dtype=torch.int64), "either axis of logits .* give loss="),
        ((4, 3), torch.full((4,), 3), r"lie in \[0, 3\), the model's classes: 3 to 3"),
        ((4, 3), torch.full((4,), -1), r"lie in \[0, 3\), the model's classes: -1 to -1"),
        ((2, 4, 3), torch.full((2, 4), 3), r"lie in \[0, 3\)"),
        ((4, 3), torch.full((4,), -100), "no label counts: every one is -100"),
    ],
)
def test_labels_that_are_no_classes_of_the_logits_are_one_line(shape, labels, message):
    with pytest.raises(SpecError, match=message) as caught:
        met(CROSS, torch.zeros(shape), labels)
    assert "\n" not in str(caught.value)


# Binary and mse: numbers of the outputs' shape


def test_one_logit_is_right_where_its_sign_says_so():
    logits = torch.tensor([[LOG_3], [LOG_3]])
    for labels in (torch.tensor([1.0, 0.0]), torch.tensor([[1], [0]])):
        expected = (math.log(4 / 3) + math.log(4)) / 2
        assert met(BINARY, logits, labels) == (pytest.approx(expected), 2, 1)


def test_many_labels_count_one_by_one_and_class_numbers_become_one_hot():
    logits = torch.tensor([[LOG_3, -LOG_3], [-LOG_3, -LOG_3]])
    many = torch.tensor([[1, 0], [1, 0]])
    expected = (3 * math.log(4 / 3) + math.log(4)) / 4
    assert met(BINARY, logits, many) == (pytest.approx(expected), 4, 3)
    assert met(BINARY, logits, torch.tensor([0, 0])) == (pytest.approx(expected), 4, 3)


def test_the_squared_error_knows_no_right_and_wrong():
    outputs = torch.tensor([[1.0], [4.0]])
    assert met(MSE, outputs, torch.tensor([3.0, 4.0])) == (2.0, 2, None)
    assert met(MSE, outputs, torch.tensor([[3.0], [4.0]])) == (2.0, 2, None)
    assert met(MSE, torch.zeros(2, 2), torch.tensor([0, 1])) == (0.5, 4, None)


@pytest.mark.parametrize(
    ("loss", "labels", "message"),
    [
        (BINARY, torch.full((4, 3), 1.5), r"must lie in \[0, 1\]: 1.5 to 1.5"),
        (BINARY, torch.full((4, 3), -1), r"must lie in \[0, 1\]: -1 to -1"),
        (MSE, torch.full((4, 3), torch.nan), "must be finite"),
        (MSE, torch.tensor([0, 1, 2, 3]), r"class numbers in \[0, 3\)"),
        (BINARY, torch.tensor([0, 1, 2, -100]), r"class numbers in \[0, 3\)"),
        (MSE, torch.zeros(4), r"labels \(4,\) float32 do not fit outputs \(4, 3\)"),
        (MSE, torch.zeros(3, 4), r"labels \(3, 4\) float32 do not fit outputs"),
        (BINARY, torch.zeros(8, 3), r"labels \(8, 3\) float32 do not fit outputs"),
    ],
)
def test_numbers_that_are_no_targets_are_one_line(loss, labels, message):
    with pytest.raises(SpecError, match=message):
        met(loss, torch.zeros(4, 3), labels)


def test_targets_take_the_type_and_the_axes_of_the_outputs():
    found = as_targets(torch.zeros(2, 1, 3, dtype=torch.float64), torch.ones(2, 3))
    assert found.dtype == torch.float64
    assert found.shape == (2, 1, 3)


# What a model gives


LOGITS = torch.ones(2, 3)


@pytest.mark.parametrize(
    "outputs",
    [
        LOGITS,
        (LOGITS, torch.zeros(1)),
        [LOGITS, None],
        {"logits": LOGITS, "hidden": torch.zeros(1)},
        {"out": LOGITS, "aux": torch.zeros(2, 3)},
        SimpleNamespace(logits=LOGITS, loss=None),
        SimpleNamespace(sample=LOGITS),
    ],
)
def test_logits_are_found_in_what_a_model_gives(outputs):
    assert logits_of(outputs) is LOGITS
    assert own_loss(outputs) is None


@pytest.mark.parametrize("outputs", [None, {"boxes": LOGITS}, "text", [], ({"a": LOGITS},)])
def test_what_holds_no_logits_is_one_line(outputs):
    with pytest.raises(SpecError, match=r"the model gives a .*; wrap it so that .* or give loss="):
        logits_of(outputs)


@pytest.mark.parametrize(
    "outputs",
    [
        SimpleNamespace(loss=torch.tensor(3.0), logits=LOGITS),
        {"loss": torch.tensor([3.0]), "logits": LOGITS},
        {"loss_box": torch.tensor(1.0), "loss_class": torch.tensor(2.0)},
        (torch.tensor(3.0), LOGITS),
    ],
)
def test_a_loss_that_the_model_computed_is_its_own(outputs):
    assert own_loss(outputs) == 3


def test_what_was_given_is_described_by_shapes_and_types():
    given = {"ids": torch.zeros(2, 3, dtype=torch.int64), "pair": (LOGITS, None)}
    assert described(given) == "{ids: (2, 3) int64, pair: ((2, 3) float32, NoneType)}"
