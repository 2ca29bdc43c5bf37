"""Interval arithmetic over a chain of steps: where can each unit lie, and the gap of two units?

Bounds are in float64 and widened by 1e-12 of the sum of the terms' sizes, far more than rounding,
and where weights and inputs are not all 0 by what products lose that are smaller than any float.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from prunekit.theory.chains import Affine, Flatten, ReLU, Step, lengths

SLACK = 1e-12
TINY = 1e-300
"""More than underflow takes from a sum of ten million products."""


@attrs.frozen(eq=False)
class Region:
    """low <= x <= high elementwise, (1, *shape); if `radius` is given, also ||x||_2 <= radius."""

    low: Tensor
    high: Tensor
    radius: float | None = None

    @property
    def norm(self) -> float:
        """An upper bound of ||x||_2 over the region."""
        box = float(lengths(torch.maximum(self.low.abs(), self.high.abs())))
        return box if self.radius is None else min(box, self.radius)

    def intersect(self, other: Region) -> Region:
        """Where x lies in both; both are known to hold it."""
        return Region(torch.maximum(self.low, other.low), torch.minimum(self.high, other.high))

    def __add__(self, other: Region) -> Region:
        return Region(self.low + other.low, self.high + other.high)


def image(step: Affine, weight: Tensor, x: Region) -> Region:
    """Where W x lies, for the x of a region; without bias."""
    middle, half = (x.low + x.high) / 2, (x.high - x.low) / 2
    center, sizes = step.linear(middle, weight), step.linear(middle.abs() + half, weight.abs())
    reach = step.linear(half, weight.abs())
    if x.radius is not None and not middle.any():
        reach = torch.minimum(reach, x.radius * rows(step, weight, half))
    reach = reach + SLACK * sizes + TINY * bool(weight.any() and (x.low.any() or x.high.any()))
    return Region(center - reach, center + reach)


def rows(step: Affine, weight: Tensor, x: Tensor) -> Tensor:
    """The 2-norm of each row of the matrix that `step` is, also of entries whose squares are 0."""
    norms = step.linear(torch.ones_like(x), weight.square()).sqrt()
    if 1e-140 < weight.abs().max() < 1e140:
        return norms + 1e-150
    return weight.abs().sum() + torch.zeros_like(norms)


def shifted(region: Region, by: Tensor) -> Region:
    """A region shifted by a bias."""
    return Region(region.low + by, region.high + by)


def through(step: Step, x: Region) -> Region:
    """Where the outputs of a step lie."""
    if isinstance(step, Affine):
        reached = image(step, step.weight, x)
        return shifted(reached, step.shift(reached.low))
    radius = x.radius  # ReLU and Flatten never lengthen x
    return Region(step(x.low), step(x.high), radius)


def gap_through(f: Step, g: Step, x: Region, y: Region, gap: Region) -> Region:
    """Where f(x) - g(y) lies, for steps of one kind and x - y in `gap`."""
    one, other = through(f, x), through(g, y)
    apart = Region(one.low - other.high, one.high - other.low)
    if isinstance(f, Affine) and isinstance(g, Affine):
        carried = image(f, f.weight - g.weight, x) + image(g, g.weight, gap)
        shift = f.shift(carried.low) - g.shift(carried.low)
        return shifted(carried, shift).intersect(apart)
    if isinstance(f, Flatten):
        return Region(f(gap.low), f(gap.high))
    assert isinstance(f, ReLU)
    active = (x.low >= 0) & (y.low >= 0)
    clipped = Region(
        torch.where(active, gap.low, gap.low.clamp(max=0)),
        torch.where(active, gap.high, gap.high.clamp(min=0)),
    )
    return clipped.intersect(apart)
