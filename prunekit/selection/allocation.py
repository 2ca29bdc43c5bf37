"""The arithmetic of sharing a number of weights among layers, exact to the last weight."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from prunekit.errors import SpecError

WEIGHTS: Mapping[str, Callable[[Sequence[int]], float]] = {
    "layer": lambda shape: float(math.prod(shape)),
    "row": lambda shape: float(math.prod(shape)),
    "erk": lambda shape: float(sum(shape)),
}
"""Allocation -> how many weights of a layer of this shape are kept, up to one common factor.

erk: the density is proportional to sum(shape) / prod(shape), so their number to sum(shape)
(Evci et al., ICML 2020, arXiv 1911.11134, section 3, with kernel sizes in the sum).
"""


def share(
    total: int, weights: Sequence[float], floors: Sequence[int], caps: Sequence[int]
) -> list[int]:
    """Numbers in proportion to `weights`, each between its floor and its cap, that sum to `total`.

    They are clip(level * weight, floor, cap) for the one level that gives the total, rounded by
    largest remainder. `total` must lie in [sum(floors), sum(caps)].
    """
    weight = np.maximum(np.asarray(weights, dtype=np.float64), 1.0)
    low, high = np.asarray(floors, dtype=np.float64), np.asarray(caps, dtype=np.float64)
    levels = np.unique(np.concatenate([low / weight, high / weight]))
    sums = np.array([np.clip(level * weight, low, high).sum() for level in levels])
    after = min(int(np.searchsorted(sums, total)), len(sums) - 1)  # the first sum >= total
    before = max(after - 1, 0)
    level = np.interp(total, sums[[before, after]], levels[[before, after]])
    return apportion(np.clip(level * weight, low, high), total)


def apportion(quotas: Sequence[float] | np.ndarray, total: int) -> list[int]:
    """Whole numbers nearest to `quotas` that sum to `total`: largest remainder, ties by index.

    `total` must be within 1 of the sum of the quotas.
    """
    quota = np.asarray(quotas, dtype=np.float64)
    counts = np.floor(quota).astype(np.int64)
    by_remainder = np.argsort(counts - quota, kind="stable")
    counts[by_remainder[: total - int(counts.sum())]] += 1
    return [int(count) for count in counts]


def fixed_layers(rules: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Layer -> density for the layers that "pattern=density" rules name, in order of `names`.

    Patterns are shell patterns over parameter names. Raises SpecError for a rule that cannot be
    read or matches nothing, and for a layer that two rules name.
    """
    owner: dict[str, str] = {}
    for rule in rules:
        pattern = _parsed(rule)[0]
        matched = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not matched:
            raise SpecError(
                f"prune.densities: {rule!r} matches no layer; layers are {_some(names)}"
            )
        for name in matched:
            if name in owner:
                raise SpecError(
                    f"prune.densities: {owner[name]!r} and {rule!r} both match {name}; "
                    "narrow one of them"
                )
            owner[name] = rule
    return {name: _parsed(owner[name])[1] for name in names if name in owner}


def scheduled(rules: Sequence[str], after: Callable[[float], float]) -> list[str]:
    """The rules "pattern=density" of an earlier round: `after` gives each density on its way."""
    parsed = [_parsed(rule) for rule in rules]
    return [f"{pattern}={after(density)!r}" for pattern, density in parsed]


def _parsed(rule: str) -> tuple[str, float]:
    pattern, _, text = rule.rpartition("=")
    try:
        density = float(text)
    except ValueError:
        density = math.nan
    if not pattern or not 0 <= density <= 1:
        raise SpecError(
            f"prune.densities: {rule!r} is no pattern=density with a density in [0, 1]; "
            "for example 'fc.*=0.5'"
        )
    return pattern, density


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
