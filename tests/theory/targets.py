"""Small targets for the constructions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def target(*widths: int, seed: int = 0, norm: float = 1.0) -> list[Tensor]:
    """Matrices of normal weights with a given spectral norm, float64."""
    rng = torch.Generator().manual_seed(seed)
    sizes = zip(widths[1:], widths)
    drawn = [torch.randn(size, generator=rng, dtype=torch.float64) for size in sizes]
    return [matrix * (norm / torch.linalg.matrix_norm(matrix, 2)) for matrix in drawn]


def modules(matrices: list[Tensor], relu_last: bool = True) -> nn.Sequential:
    """The same as Linear and ReLU layers."""
    layers: list[nn.Module] = []
    for matrix in matrices:
        linear = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, dtype=torch.float64)
        linear.weight = nn.Parameter(matrix)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[: None if relu_last else -1])


def points(count: int, size: int, seed: int = 0) -> Tensor:
    """Points of the unit ball, on its sphere and inside, float64."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(count, size, generator=rng, dtype=torch.float64)
    radius = 0.5 + 0.5 * torch.rand(count, 1, generator=rng, dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True) * radius
