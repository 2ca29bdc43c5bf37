"""Interval arithmetic over a chain of steps: where can each unit lie, and the gap of two units?

Bounds are in float64 and widened by 1e-12 of the sum of the terms' sizes, far more than rounding.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from prunekit.theory.chains import Affine, Flatten, ReLU, Step

SLACK = 1e-12


@attrs.frozen(eq=False)
class Region:
    """low <= x <= high elementwise, (1, *shape); if `radius` is given, also ||x||_2 <= radius."""

    low: Tensor
    high: Tensor
    radius: float | None = None

    @property
    def norm(self) -> float:
        """An upper bound of ||x||_2 over the region."""
        box = float(torch.maximum(self.low.abs(), self.high.abs()).norm())
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
        rows = step.linear(torch.ones_like(half), weight.square()).sqrt()
        reach = torch.minimum(reach, x.radius * rows)
    reach = reach + SLACK * sizes
    return Region(center - reach, center + reach)


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
