"""The tiny network, batches and scores that the checks feed to a component."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.contracts import batches_read, reads
from prunekit.draws.chance import generator
from prunekit.network.model import Network, Scores
from prunekit.network.objective import Batch

INPUT_SHAPE = (3, 8, 8)
CLASSES = 4


class TinyNet(nn.Module):
    """Two convolutions (one residual, one grouped), batch norm, dropout and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = x + torch.relu(self.grouped(x))
        return self.head(self.drop(x.mean((2, 3))))


def model(dtype: torch.dtype = torch.float32) -> nn.Module:
    """A TinyNet with random weights and statistics, mixed modes, and a gradient left behind."""
    rng = generator(0, "tiny model")
    with global_chance(0):
        net = TinyNet().to(dtype)
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=rng))
        net.norm.weight.add_(1.0)
        net.norm.running_var.abs_().add_(0.5)  # type: ignore[union-attr]
    net.train()
    net.grouped.eval()
    net.norm.bias.requires_grad_(False)
    net.head.weight.grad = torch.ones_like(net.head.weight)
    return net


def masks() -> dict[str, Tensor]:
    """A random half of every maskable weight of `model()`."""
    rng = generator(0, "tiny masks")
    shapes = {name: layer.shape for name, layer in Network.of(model()).layers.items()}
    return {name: torch.rand(shape, generator=rng) < 0.5 for name, shape in shapes.items()}


def network(
    masked: bool = False, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Network:
    """The network of a fresh `model()`, masked by `masks()` or not at all."""
    net = model(dtype).to(device)
    kept = {name: mask.to(device) for name, mask in masks().items()} if masked else None
    return Network.of(net, input_shape=INPUT_SHAPE, masks=kept)


def batches(scorer: Any, dtype: torch.dtype = torch.float32, device: str = "cpu") -> list[Batch]:
    """As many batches of 12 labelled examples as the scorer asks for; none if it reads none."""
    if reads(scorer) != "batches":
        return []
    rng = generator(0, "tiny batches")
    return [batch(dtype, device, rng) for _ in range(batches_read(scorer))]


def batch(
    dtype: torch.dtype = torch.float32, device: str = "cpu", rng: torch.Generator | None = None
) -> Batch:
    """12 labelled examples."""
    rng = rng or generator(0, "tiny batches")
    images = torch.randn((12, *INPUT_SHAPE), generator=rng).to(device, dtype)
    return images, (torch.arange(12) % CLASSES).to(device)


def scores() -> Scores:
    """Positive scores of four shapes, one of them without entries."""
    rng = generator(0, "tiny scores")
    shapes = {"a": (6, 5), "b": (4, 2, 3, 3), "none": (0, 7), "c": (25,)}
    return {name: torch.rand(shape, generator=rng) + 0.1 for name, shape in shapes.items()}


def state(net: nn.Module) -> dict[str, Any]:
    """All that a visitor of `net` may disturb: values, gradients, modes and flags."""
    found: dict[str, Any] = {
        name: tensor.detach().cpu().clone() for name, tensor in net.state_dict().items()
    }
    for name, parameter in net.named_parameters():
        gradient = parameter.grad
        found[f"gradient of {name}"] = None if gradient is None else gradient.cpu().clone()
        found[f"requires_grad of {name}"] = parameter.requires_grad
    for name, module in net.named_modules():
        found[f"training flag of {name or 'the model'}"] = module.training
        found[f"hooks on {name or 'the model'}"] = len(module._forward_hooks)
    return found


def same(first: Any, second: Any) -> bool:
    """Equal in type, shape and every bit that counts."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict) and isinstance(second, dict):
        return list(first) == list(second) and all(same(first[k], second[k]) for k in first)
    return type(first) is type(second) and bool(first == second)


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names whose values differ."""
    return [name for name in before if not same(before[name], after.get(name))]


@contextmanager
def global_chance(seed: int, others: int | None = None) -> Iterator[None]:
    """Seed the global generators for the block and restore them after it.

    seed: that of torch. others: that of NumPy and Python, where it is another one.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed if others is None else others)
        random.seed(seed if others is None else others)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def chance_unmoved(problem: str) -> Iterator[None]:
    """AssertionError, saying `problem`, where the block draws from a global generator."""
    with global_chance(3):
        expected = _global_draws()
    with global_chance(3):
        yield
        assert _global_draws() == expected, problem


def _global_draws() -> tuple[float, float, float]:
    return float(torch.rand(())), float(np.random.rand()), random.random()
