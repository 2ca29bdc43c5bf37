"""Steps of prunekit's training loop: scores over random weights, and dense weights beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import torch
from torch import Tensor, nn

import prunekit
from prunekit import Budget, Network
from prunekit.network.laws import apply_init, law_of
from prunekit.training.learned import LearnedScores
from prunekit.training.loop import Training, move
from prunekit.training.masked import MaskedWeights
from prunekit.training.owner import Owner

STEPS = 100
"""In an epoch, whose end is part of what is measured: it masks and counts."""
SHAPE, CLASSES = (3, 32, 32), 10
CPU = torch.device("cpu")


@attrs.frozen(eq=False)
class Noise:
    """Random batches, the same in every epoch."""

    pairs: list[tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, size: int, device: torch.device, count: int) -> Noise:
        rng = prunekit.generator(0, "bench")
        x = torch.randn(count, size, *SHAPE, generator=rng).to(device)
        y = torch.randint(CLASSES, (count, size), generator=rng).to(device)
        return cls(list(zip(x, y)))

    def __len__(self) -> int:
        return len(self.pairs)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.pairs[start:])


def training(
    net: nn.Module, owner: Owner, noise: Noise, device: torch.device, epochs: int, **given: Any
) -> Training:
    """given: other options of `prunekit.Train`."""
    options = prunekit.Train(
        epochs=epochs, batch_size=len(noise.pairs[0][1]), lr=0.1, momentum=0.9, nesterov=False,
        weight_decay=1e-4, schedule="constant", **given,
    )  # fmt: skip
    return Training(net, owner, noise, options, epochs, 0, "bench", device)


def steps(
    net: nn.Module, owner: Owner, batch: int, device: torch.device, epochs: int = 2, **given: Any
) -> Callable[[], dict[str, float]]:
    """The last epoch of a training whose others are done: all is warm."""
    run = training(net, owner, Noise.of(batch, device, STEPS), device, epochs, **given)
    for _ in range(epochs - 1):
        run.run_epoch(lambda: None)
    return lambda: run.run_epoch(lambda: None)


def dense_steps(
    net: nn.Module, batch: int, device: torch.device, **given: Any
) -> Callable[[], dict[str, float]]:
    move(net, device, prunekit.Train(**given))
    return steps(net, MaskedWeights.of(net, {}, device), batch, device, **given)


def learned_scores(
    net: nn.Module, init: str, reinit: str = "none", device: torch.device = CPU, **given: Any
) -> LearnedScores:
    """Edge-popup as published: signed scores, a threshold in each layer, density 0.5."""
    law = prunekit.component("init", init)
    apply_init(net, law, 0)
    move(net, device, prunekit.Train(**given))
    network = Network.of(net)
    scorer, redraws = (
        prunekit.component("scorer", "edge-popup"),
        prunekit.component("reinit", reinit),
    )
    sampler = prunekit.component("sampler", "topk", rule="kth")
    budget = Budget(round(0.5 * network.total), "layer", density=0.5)
    return LearnedScores.of(network, scorer, sampler, budget, redraws, law_of(net, law), 0)


def learned_steps(
    net: nn.Module, batch: int, init: str, device: torch.device, **given: Any
) -> Callable[[], dict[str, float]]:
    return steps(net, learned_scores(net, init, "none", device, **given), batch, device, **given)
