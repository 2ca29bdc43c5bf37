"""One batch where batches are asked for: refused, unless it may be two without labels."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import prunekit
from prunekit import SpecError

X, Y = torch.randn(64, 8), torch.arange(64) % 5


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 5))


@pytest.mark.parametrize(
    "batches", [(X, Y), [X, Y], (X, X, Y), [X, Y[:, None] / 2], ({"input": X}, Y), ((X, X), Y)]
)
@pytest.mark.parametrize("name", ["snip", "synflow"])
def test_one_batch_is_not_taken_for_a_list_of_them(batches, name):
    for act in (prunekit.score, partial(prunekit.prune, density=0.3)):
        with pytest.raises(SpecError, match=r"write batches=\[\(inputs, labels\)\]$") as caught:
            act(net(), name, batches=batches)
        assert "\n" not in str(caught.value)


def test_two_batches_without_labels_are_two_batches():
    model, rounds = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3)), {"rounds": 2}
    ids = torch.arange(32).reshape(4, 8) % 9
    assert prunekit.prune(model, "synflow", density=0.3, batches=[ids, ids[:, :6]], **rounds)


@pytest.mark.parametrize("shape", [12, "12", (12.0,), (0,), [(1, 8)]])
def test_an_input_shape_that_is_no_shape_is_refused_in_one_line(shape):
    for act in (prunekit.score, partial(prunekit.prune, density=0.3)):
        with pytest.raises(SpecError, match=r"^input_shape must be the sizes of one input [^\n]*$"):
            act(net(), "synflow", input_shape=shape)
