"""The pruned network as a compact module, and how far it is from its target.

Neurons that see the same input with the same sign are parallel: relu(u x_a) = |u| relu(x_a) for
u > 0 and |u| relu(-x_a) for u < 0. So all kept neurons of a layer amount to

    W+ relu(x) - W- relu(-x),

W+ and W- of the target's shape, each as near to W as the construction is accurate. After the first
layer x >= 0, and W- never acts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prunekit.draws.chance import fold
from prunekit.theory.target import Matrix, Target, spectral_norm

Domain = Literal["unit_ball", "unit_cube"]
POINTS = 1024
ROUNDING = 1 + 1e-9
"""Factor that covers the float64 rounding of a norm."""
WEIGHT = 2.0**-44
"""More than a weight loses in float64 as a sum of products, as a share of itself."""


@attrs.frozen
class Error:
    """sup |F(x) - G(x)|_2 over the domain: never above `certified`, at least `sampled`."""

    certified: float
    sampled: float


class Compact(nn.Sequential):
    """Linear and ReLU layers in float64; the result has the dtype of the input."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.to(torch.float64)).to(input.dtype)


def compacted(made: Sequence[tuple[Matrix, Matrix]], relu_last: bool) -> Compact:
    """The module of (W+, W-) of each layer."""
    first = made[0][0].shape[1]
    split = np.concatenate([np.eye(first), -np.eye(first)])
    layers = [_linear(split), nn.ReLU(), _linear(np.concatenate([made[0][0], -made[0][1]], axis=1))]
    for plus, _ in made[1:]:
        layers += [nn.ReLU(), _linear(plus)]
    return Compact(*layers, *[nn.ReLU()] * relu_last)


def _linear(matrix: Matrix) -> nn.Linear:
    layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, device="meta")
    weight = torch.from_numpy(np.ascontiguousarray(matrix))
    layer.weight = nn.Parameter(weight, requires_grad=False)
    return layer


def error_of(
    target: Target,
    made: Sequence[tuple[Matrix, Matrix]],
    module: nn.Module,
    domain: Domain,
    seed: int,
) -> Error:
    """Both bounds on the error over the domain."""
    return Error(certified(target, made, domain), sampled(target, module, domain, seed))


def certified(target: Target, made: Sequence[tuple[Matrix, Matrix]], domain: Domain) -> float:
    """e_i = |W+_i| e_{i-1} + |W_i - W+_i| r_{i-1}, e_0 = 0, r_i = |W_i| r_{i-1}; spectral norms.

    r_0 is the radius of the domain: 1, or sqrt(n_0) for the cube. e_1 is `first_error`.
    """
    reach = radius(target, domain) * spectral_norm(target.matrices[0])
    error = first_error(target, *made[0], domain)
    for matrix, (plus, _) in zip(target.matrices[1:], made[1:]):
        error = spectral_norm(plus) * error + (spectral_norm(matrix - plus) + slack(matrix)) * reach
        reach *= spectral_norm(matrix)
    return error * ROUNDING


def first_error(target: Target, plus: Matrix, minus: Matrix, domain: Domain) -> float:
    """e_1 = |(W - W+, W - W-)| r_0, since (relu(x), relu(-x)) is as long as x.

    Or |D| r_0, D the larger of |W - W+| and |W - W-| entry by entry, since x_a has one sign; on the
    cube also the length of the vector of D's row sums. The least of them holds.
    """
    gaps = [target.matrices[0] - side for side in (plus, minus)]
    rounding = slack(target.matrices[0]) * radius(target, domain)
    larger = np.maximum(*np.abs(gaps))
    by_norm = min(spectral_norm(np.concatenate(gaps, axis=1)), spectral_norm(larger))
    by_rows = float(np.linalg.norm(larger.sum(1))) if domain == "unit_cube" else math.inf
    return rounding + min(by_norm * radius(target, domain), by_rows)


def slack(matrix: Matrix) -> float:
    """What rounding of the weights adds to the norm of a difference, at most."""
    return WEIGHT * float(np.linalg.norm(matrix))


def radius(target: Target, domain: Domain) -> float:
    """The largest Euclidean norm of a point of the domain."""
    return 1.0 if domain == "unit_ball" else float(target.widths[0]) ** 0.5


def sampled(target: Target, module: nn.Module, domain: Domain, seed: int) -> float:
    """The largest error among POINTS random points of the boundary.

    Both networks are positively homogeneous, so the largest error is on the boundary.
    """
    rng = torch.Generator().manual_seed(fold(seed, "points"))
    points = torch.randn(POINTS, target.widths[0], dtype=torch.float64, generator=rng)
    order = 2 if domain == "unit_ball" else torch.inf
    points = points / torch.linalg.vector_norm(points, order, dim=1, keepdim=True)
    with torch.no_grad():
        return float((module(points) - target(points)).norm(dim=1).max())
