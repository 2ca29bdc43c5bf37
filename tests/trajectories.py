"""A small training for each scorer, in float64: 100 losses and the masks' digest.

The losses are kept as the nearest float32, which the last bits of float64 sums do not move: they
are equal on every machine. `python -m tests.trajectories` writes tests/golden/trajectories.json;
needed only where a change of bits is meant, which the changelog then says.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import prunekit
from prunekit.resolve.plugins import Plugins

GOLDEN = Path(__file__).parent / "golden" / "trajectories.json"
STEPS = 100
OPTIONS: Mapping[str, Any] = {"lr": 0.05, "schedule": "constant", "weight_decay": 1e-4}
ROUNDS = {"synflow": 10, "iter-snip": 4, "force": 4}


def scorers() -> list[str]:
    """The names of all scorers that come with prunekit."""
    found = Plugins().components("scorer").items()
    return sorted(name for name, cls in found if cls.__module__.startswith("prunekit_plugins."))


def numbers(seed: int, *shape: int) -> Tensor:
    """Normal numbers of Python's own generator, in float64."""
    chance = random.Random(seed)
    count = torch.Size(shape).numel()
    return torch.tensor([chance.gauss() for _ in range(count)], dtype=torch.float64).reshape(shape)


def network() -> nn.Sequential:
    """A convolution and two linear layers whose weights no generator of torch has drawn."""
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 16), nn.ReLU()
    model = nn.Sequential(*layers, nn.Linear(16, 4)).double()
    with torch.no_grad():
        for seed, parameter in enumerate(model.parameters()):
            fan_in = parameter[0].numel() or 1
            parameter.copy_(numbers(seed, *parameter.shape) * (2 / fan_in) ** 0.5)
    return model


def data() -> DataLoader[Any]:
    """One batch of 16 images of 6 x 6 in 4 classes, again in each epoch."""
    examples = TensorDataset(numbers(99, 16, 1, 6, 6), torch.arange(16) % 4)
    return DataLoader(examples, batch_size=16)


def trajectory(scorer: str) -> dict[str, Any]:
    """The masks' digest and the loss of each of 100 steps, as the nearest float32 in hex."""
    model, options = network(), {"epochs": STEPS, **OPTIONS}
    if scorer == "edge-popup":
        learned = prunekit.learn(model, scorer, data(), density=0.5, **options)
        masks, history = learned.masks, learned.history
    else:
        rounds = ROUNDS.get(scorer, 1)
        batches = list(data())
        masks = prunekit.prune(
            model, scorer, density=0.2, rounds=rounds, batches=batches, input_shape=(1, 6, 6)
        )
        history = prunekit.train(model, masks, data(), **options)
    losses = torch.tensor([line["train.loss"] for line in history]).float()
    return {"masks": masks.digest(), "losses": [float(loss).hex() for loss in losses]}


def write() -> Mapping[str, Any]:
    found = {scorer: trajectory(scorer) for scorer in scorers()}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return found


if __name__ == "__main__":
    write()
