"""Batches of one's own data: what a loader may give, and what is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import prunekit
from prunekit import SpecError


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (
            [(torch.ones(4), 1, 2)] * 4,
            r"does not take inputs \(\(2, 4\) float32, \(2,\) int64\) \(.*3 were given\)",
        ),
        (
            [{"x": torch.ones(4), "y": 1}] * 4,
            r"does not take inputs \{x: \(2, 4\) float32, y: .*\} \(.* keyword argument 'x'\)",
        ),
        (
            [(["a", "b"], 1)] * 4,
            r"does not take inputs \(\(str, str\), \(str, str\)\) \(.* not list\)",
        ),
    ],
)
def test_a_batch_that_the_model_does_not_take_is_refused(examples: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        prunekit.train(nn.Linear(4, 2), None, DataLoader(examples, 2))
    assert "\n" not in str(caught.value)


def test_what_is_no_batch_is_refused() -> None:
    loader = DataLoader([(torch.ones(4), 1)] * 4, 2, collate_fn=lambda examples: "batch")
    with pytest.raises(SpecError, match=r"a batch must be a pair \(inputs, labels\), .*: str"):
        prunekit.train(nn.Linear(4, 2), None, loader)


X, Y = torch.randn(64, 12), torch.arange(64) % 5


@pytest.mark.parametrize(
    "data",
    [
        [(X, Y)],
        [(X[:32], Y[:32]), (X[32:], Y[32:])],
        ((X, Y), (X, Y)),
        [{"input": X, "labels": Y}],
        [((X, X[:, :2]), Y)],
        [(X, X, Y)],
        [(X, torch.randn(64, 1))],
    ],
)
def test_a_list_of_batches_is_not_taken_for_a_list_of_examples(data: Any) -> None:
    for train, test in ((data, None), ([(X[0], Y[0])] * 4, data)):
        with pytest.raises(SpecError, match=r"looks like a batch of \d\d.*DataLoader") as caught:
            prunekit.train(nn.Linear(12, 5), None, train, test=test)
        assert "\n" not in str(caught.value)


def test_batches_of_one_s_own_are_trained_on_by_a_loader_that_makes_none() -> None:
    batches = DataLoader([(X[:32], Y[:32]), (X[32:], Y[32:])], batch_size=None)
    found = prunekit.train(nn.Linear(12, 5), None, batches, test=batches)
    assert found[0].keys() >= {"train.loss", "test.accuracy"}


@pytest.mark.parametrize("data", [(X, Y), [X, Y], (X, X), (X, torch.randn(64))])
def test_all_inputs_and_all_labels_are_no_examples(data: Any) -> None:
    for train, test in ((data, None), ([(X[0], Y[0])] * 4, data)):
        with pytest.raises(SpecError, match=r"give TensorDataset\(X, Y\)") as caught:
            prunekit.train(nn.Linear(12, 5), None, train, test=test)
        assert "\n" not in str(caught.value)


def test_a_mapping_of_tensors_is_no_dataset() -> None:
    with pytest.raises(SpecError, match=r"data must be a Dataset of \(input, label\).*: dict$"):
        prunekit.train(nn.Linear(12, 5), None, {"input": X, "labels": Y})


@pytest.mark.parametrize(
    ("examples", "model"),
    [
        ([(torch.ones(3, 4, 4), torch.ones(3, 4, 4))] * 4, nn.Conv2d(3, 3, 1)),
        ([(torch.ones(12), torch.ones(12))] * 4, nn.Linear(12, 12)),
        ([(torch.ones(1, 12), torch.ones(1, 12))] * 4, nn.Linear(12, 12)),
    ],
)
def test_examples_in_a_list_are_trained_on(examples: Any, model: nn.Module) -> None:
    assert prunekit.train(model, None, examples, loss="mse")
