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
