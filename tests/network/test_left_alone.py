"""A watched pass leaves the model and all random numbers as they were."""

from __future__ import annotations

import copy
import random
from collections import deque
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import prunekit
from prunekit.network.traced import uses_of

TOKENS = torch.tensor([[0, 1, 2], [3, 4, 1]])


class Restless(nn.Module):
    """A forward that changes all it can reach."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 4, max_norm=0.1)
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("calls", torch.zeros(()))
        self.seen: list[int] = []
        self.state: Any = None
        self.own = torch.Generator().manual_seed(3)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.calls = self.calls + 1
        self.seen.append(1)
        self.fresh = 1
        self.state = torch.rand(3) + torch.rand(3, generator=self.own)
        random.random()
        np.random.random()
        self.train()
        self.words.weight.requires_grad_(False)
        return self.norm(self.words(x).mean(1))


def facts(model: nn.Module) -> list[Any]:
    held = [t.tolist() for t in model.state_dict().values()]
    flags = [p.requires_grad for p in model.parameters()]
    return [
        *held, flags, [m.training for m in model.modules()], model.seen, model.state,
        hasattr(model, "fresh"), model.own.get_state().tolist(), torch.get_rng_state().tolist(),
        random.getstate(), np.random.get_state()[1].tolist(),
    ]  # fmt: skip


@pytest.mark.parametrize("fails", [False, True])
def test_the_pass_leaves_model_and_generators_as_they_were(fails: bool) -> None:
    model = Restless()
    before, calls = copy.deepcopy(facts(model)), model.calls

    def run() -> None:
        model(TOKENS)
        if fails:
            raise ValueError("no")

    if fails:
        with pytest.raises(ValueError, match="no"):
            uses_of(model, run)
    else:
        uses_of(model, run)
    assert facts(model) == before
    assert model.calls is calls


@pytest.mark.parametrize("kind", [list, deque])
def test_what_a_model_collects_is_not_of_examples_that_were_only_looked_at(kind: type) -> None:
    class Collects(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 2)
            self.means = kind()

        def forward(self, x: Tensor) -> Tensor:
            self.means.append(float(x.detach().mean()))
            return super().forward(x)

    model = Collects()
    prunekit.prune(model, "magnitude", density=0.5, batches=[(torch.ones(8, 4), None)])
    assert not model.means
    prunekit.train(model, None, TensorDataset(torch.ones(8, 4), torch.arange(8) % 2), batch_size=8)
    assert len(model.means) == 1
