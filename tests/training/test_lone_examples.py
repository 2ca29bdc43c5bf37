"""A last batch of one before batch norm, and a model of which nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import prunekit
from prunekit import SpecError

EIGHT = TensorDataset(torch.randn(8, 8), torch.arange(8) % 3)


def normed() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))


def test_a_last_example_alone_before_batch_norm_joins_the_batch_before() -> None:
    """33 examples in batches of 32, as a run has them: one step of 33, whatever their order."""
    x, y = torch.randn(33, 8), torch.arange(33) % 3
    model, whole = normed(), normed()
    prunekit.train(model, None, TensorDataset(x, y), batch_size=32, lr=0.1)
    prunekit.train(whole, None, TensorDataset(x, y), batch_size=33, lr=0.1)
    torch.testing.assert_close(model[0].weight, whole[0].weight)
    assert model[1].num_batches_tracked == 1


def test_a_last_example_alone_of_a_loader_is_told_before_training_starts() -> None:
    loader = DataLoader(TensorDataset(torch.randn(33, 8), torch.arange(33) % 3), 32)
    model = normed()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(SpecError, match=r"last of 2 batches has one example, .* drop_last=True"):
        prunekit.train(model, None, loader)
    with pytest.raises(SpecError, match=r"last of 2 batches has one example, .* drop_last=True"):
        prunekit.learn(model, "edge-popup", loader)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Streamed(IterableDataset):
    """33 examples, one after the other."""

    def __len__(self) -> int:
        return 33

    def __iter__(self) -> Iterator[Any]:
        return iter([(torch.full((8,), float(i)), i % 3) for i in range(33)])


def test_a_lone_example_of_a_stream_is_one_line() -> None:
    with pytest.raises(SpecError, match="batch norm cannot be trained on a batch of one example"):
        prunekit.train(normed(), None, DataLoader(Streamed(), 32))
    history = prunekit.train(nn.Linear(8, 3), None, DataLoader(Streamed(), 32))
    assert history[0]["lr"] == 0.05  # that of the second of two steps


def test_a_last_example_alone_stays_alone_where_the_model_takes_it() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    data = TensorDataset(torch.randn(33, 1, 2, 2), torch.arange(33) % 3)
    prunekit.train(model, None, data, batch_size=32)
    assert model[1].num_batches_tracked == 2


def test_a_wholly_frozen_model_is_not_trained_but_learned() -> None:
    model, data = nn.Linear(8, 3).requires_grad_(False), EIGHT
    with pytest.raises(SpecError, match="no parameter of the model requires a gradient, so"):
        prunekit.train(model, None, data)
    exact = prunekit.component("sampler", "topk", rule="exact")
    learned = prunekit.learn(model, "edge-popup", data, sampler=exact, density=0.25)
    assert learned.masks.kept == 6
    assert not model.weight.requires_grad
