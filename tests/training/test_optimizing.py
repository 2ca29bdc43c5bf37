"""SGD steps as its formula says, whatever weights and gradients look like in memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import prunekit
from prunekit import Train
from prunekit.resolve.suggestions import filled
from prunekit.training.optimizing import make_optimizer


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_weights_with_gaps_in_memory_take_the_steps_of_dense_ones(momentum: float) -> None:
    dense = nn.Parameter(torch.arange(12.0).view(4, 3))
    gaps = nn.Parameter(torch.zeros(4, 6)[:, ::2].copy_(dense.detach()))
    for weight in (dense, gaps):
        given = Train(optimizer="sgd", momentum=momentum, lr=0.1)
        optimizer = make_optimizer(filled(given, "train", {}), [weight])
        for _ in range(3):
            optimizer.zero_grad()
            weight.pow(2).sum().backward()
            optimizer.step()
    assert not gaps.is_contiguous()
    torch.testing.assert_close(gaps, dense)


class Words(nn.Module):
    """The mean of embeddings whose gradients are sparse."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(20, 6, sparse=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.words(x.long()).mean(1))


def test_sparse_gradients_are_trained_too() -> None:
    model, before = Words(), Words()
    data = TensorDataset(torch.arange(40).view(8, 5) % 20, torch.arange(8) % 3)
    given = {"lr": 0.1, "nesterov": False, "weight_decay": 0.0, "clip": 0.0}
    prunekit.train(model, None, data, epochs=1, **given)
    assert not torch.equal(model.words.weight, before.words.weight)
