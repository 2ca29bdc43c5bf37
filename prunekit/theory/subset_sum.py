"""One weight as a sum of some of n products: subset sums, exactly.

Pensia et al., "Optimal Lottery Tickets via SubsetSum", NeurIPS 2020, need O(log(1/eps)) random
products for a weight, where a golden-ratio decomposition needs O(log(1/eps) log log(1/eps)).
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from prunekit.theory.domain import Floats, array, calculator, number, refuse

MOST = 36
"""Products that can be searched: 2^18 sums in each half."""


@attrs.frozen
class SubsetSum:
    """mask: the products that are kept, bool (n,). value: their sum. error: |w - value|."""

    mask: npt.NDArray[np.bool_]
    value: float
    error: float


@calculator
def subset_sum_weight(w: float, products: Any) -> SubsetSum:
    """The subset of `products` whose sum is nearest to w; none nearer exists.

    By meeting in the middle: all sums of one half, sorted, are searched for w minus each sum of
    the other, 2^(n/2) numbers each. w: finite. products: n finite numbers, n <= 36. Raises
    SpecError otherwise.
    """
    if not number(w):
        raise refuse("w", w, "be a finite number")
    values = array("products", products, 1)
    if len(values) > MOST:
        raise refuse("products", len(values), f"hold at most {MOST} numbers; their number is")
    if not number(abs(w) + np.abs(values).sum()):
        raise refuse("products", values.tolist(), "have sizes whose sum a float holds (1e308)")
    middle = len(values) // 2
    left, right = _sums(values[:middle]), _sums(values[middle:])
    order = np.argsort(right, kind="stable")
    after = np.searchsorted(right[order], w - left).clip(0, len(right) - 1)
    best = min(_nearest(w, left, right, order[index]) for index in (after, (after - 1).clip(0)))
    bits = best[1] | best[2] << middle
    mask = (bits >> np.arange(len(values)) & 1).astype(bool)
    value = math.fsum(values[mask])
    return SubsetSum(mask, value, abs(math.fsum([w, *-values[mask]])))


def _sums(values: Floats) -> Floats:
    """The sum of every subset; bit i of its place says whether value i is in it."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums


def _nearest(
    w: float, left: Floats, right: Floats, chosen: npt.NDArray[np.int64]
) -> tuple[float, int, int]:
    """(error, left subset, right subset) of the best pair (i, chosen[i])."""
    errors = np.abs(w - left - right[chosen])
    best = int(errors.argmin())
    return float(errors[best]), best, int(chosen[best])
