"""What the tests of learned scores share: a network, examples, an owner and its training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import prunekit
from prunekit import Train
from prunekit.network.laws import apply_init, law_of
from prunekit.network.model import Network
from prunekit.resolve.suggestions import filled
from prunekit.selection.budget import Budget
from prunekit.training.learned import LearnedScores
from prunekit.training.loop import Training

CPU = torch.device("cpu")


class Own(nn.Module):
    """A network of nobody's library: a parameter of its own, a branch, a tied layer."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.ones(8))
        self.first, self.second = nn.Linear(12, 8), nn.Linear(8, 8, bias=False)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x.flatten(1)) + self.shift)
        return self.head(self.norm(self.second(x) + self.second(x.flip(1))))


def images(*shape: int, count: int = 8) -> TensorDataset:
    rng = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(count, *shape, generator=rng), torch.arange(count) % 3)


def owner_of(
    model: nn.Module,
    density: float = 0.5,
    sampler: Any = None,
    reinit: Any = "none",
    init: str = "default",
    allocation: Any = "layer",
    **given: Any,
) -> LearnedScores:
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view(parameter.shape))
            parameter.mul_(0.3 + 0.1 * number)
    law = prunekit.component("init", init)
    apply_init(model, law, 0)
    network = Network.of(model)
    sampler = sampler or prunekit.component("sampler", "topk", rule="kth")
    reinit = prunekit.component("reinit", reinit) if isinstance(reinit, str) else reinit
    budget = Budget(round(density * network.total), allocation, density=density, **given)
    scorer = prunekit.component("scorer", "edge-popup")
    return LearnedScores.of(network, scorer, sampler, budget, reinit, law_of(model, law), 0)


def often(period: int = 1, rate: float = 0.5) -> Any:
    return prunekit.component("reinit", "iterand", period=period, rate=rate)


class Repeated:
    """The same examples, once an epoch, in batches of a size."""

    def __init__(self, data: TensorDataset, size: int) -> None:
        self.pairs = list(zip(*(tensor.split(size) for tensor in data.tensors)))

    def __len__(self) -> int:
        return len(self.pairs)

    def epoch(self, epoch: int, start: int = 0) -> Any:
        return iter(self.pairs[start:])


def training_of(owner: LearnedScores, epochs: int, batch_size: int = 8, **options: Any) -> Training:
    data, given = images(3, 2, 2), filled(Train(batch_size=batch_size, **options), "train", {})
    model = owner.network.model
    batches = Repeated(data, batch_size)
    return Training(model, owner, batches, given, epochs, 0, "final", CPU)


def steps(owner: LearnedScores, count: int, **options: Any) -> Training:
    """Train `count` epochs of one step each (two half steps with accumulate = 2)."""
    training = training_of(owner, count, **options)
    while not training.done:
        training.run_epoch(lambda: None)
    return training
