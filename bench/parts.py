"""More cases that `run.py` measures: single parts of a run; see `cases.py`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from cases import CLASSES, SHAPE, Call, Case, network
from learned_steps import CPU, Noise, training
from torch import Tensor, nn

import prunekit
from prunekit import draw_without_replacement, top_k_each
from prunekit.storage.checkpoints import save_checkpoint
from prunekit.training.masked import MaskedWeights


def layer_scores(model: str = "resnet18") -> tuple[dict[str, Tensor], dict[str, int], int]:
    """Scores of all 62 parameters, float32, how many a layer keeps, and how many there are."""
    rng = prunekit.generator(0, "bench")
    shapes = {name: parameter.shape for name, parameter in network(model).named_parameters()}
    scores = {name: torch.randn(shape, generator=rng).abs() for name, shape in shapes.items()}
    counts = {name: round(0.1 * score.numel()) for name, score in scores.items()}
    return scores, counts, sum(score.numel() for score in scores.values())


def by_partition(scores: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, Tensor]:
    """As top_k_each where no scores are equal: numpy.partition for each threshold."""
    masks = {}
    for name, score in scores.items():
        flat = score.numpy().reshape(-1)
        rank = max(flat.size - counts[name], 0)
        masks[name] = score >= float(np.partition(flat, rank)[rank])
    return masks


def selection() -> Case:
    scores, counts, weights = layer_scores()
    ours, theirs = (lambda: top_k_each(scores, counts)), (lambda: by_partition(scores, counts))
    return Case(lambda: ours, lambda: theirs, "numpy.partition", 15, weights)


def by_race(scores: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, Tensor]:
    """A draw without replacement in each layer by keys log(s) - log(E), float64, and topk."""
    masks = {}
    for name, score in scores.items():
        flat = score.double().reshape(-1)
        keys = flat.log() - torch.empty_like(flat).exponential_().log()
        masks[name] = torch.zeros(flat.shape, dtype=torch.bool)
        masks[name][keys.topk(counts[name], sorted=False).indices] = True
    return masks


def sketch() -> Case:
    scores, counts, weights = layer_scores()

    def ours() -> object:
        return draw_without_replacement(scores, counts, prunekit.generator(0, "bench"))

    def theirs() -> object:
        return by_race(scores, counts)

    return Case(lambda: ours, lambda: theirs, "torch: log, topk", 5, weights)


def masked_step(
    build: Callable[[], nn.Module], shape: tuple[int, ...], batch: int, steps: int
) -> Case:
    """Optimizer steps at density 0.5, beside as many dense ones in the same loop."""

    def epoch(density: float) -> Call:
        net = build()
        masks = {} if density == 1 else prunekit.prune(net, "magnitude", density=density)
        rng = prunekit.generator(0, "bench")
        x = torch.randn(steps, batch, *shape, generator=rng)
        noise = Noise(list(zip(x, torch.randint(CLASSES, (steps, batch), generator=rng))))
        looped = training(net, MaskedWeights.of(net, masks, CPU), noise, CPU, epochs=10**6)
        return lambda: looped.run_epoch(lambda: None)

    return Case(lambda: epoch(0.5), lambda: epoch(1.0), "the dense step", turns=25)


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    first, second, last = nn.Linear(784, 300), nn.Linear(300, 100), nn.Linear(100, CLASSES)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)


def checkpoint() -> Case:
    """101 MB of float32 and bool, written to a new file and synced."""
    rng = prunekit.generator(0, "bench")
    state = {f"model/{i}": torch.randn(512, 512, 3, 3, generator=rng) for i in range(10)}
    state |= {f"masks/{i}": torch.rand(1000, 700, generator=rng) < 0.5 for i in range(10)}
    folder = tempfile.TemporaryDirectory()  # it goes with the case

    def ours() -> Call:
        save_checkpoint(Path(folder.name), {"model/0": torch.zeros(1)}, {}, "bench")
        return lambda: save_checkpoint(Path(folder.name), state, {}, "bench")

    def saved(path: Path, tensors: Mapping[str, Tensor]) -> None:
        torch.save(tensors, path)
        with open(path, "rb+") as file:
            os.fsync(file.fileno())

    def theirs() -> Call:
        saved(Path(folder.name, "small"), {"model/0": torch.zeros(1)})
        return lambda: saved(Path(folder.name, "state"), state)

    return Case(ours, theirs, "torch.save, fsync")


PARTS: Mapping[str, Callable[[], Case]] = {
    "layer-selection": selection,
    "layer-sketch": sketch,
    "half-step-mlp": lambda: masked_step(perceptron, (784,), 60, 40),
    "half-step-resnet18": lambda: masked_step(lambda: network("resnet18"), SHAPE, 8, 1),
    "checkpoint": checkpoint,
}
