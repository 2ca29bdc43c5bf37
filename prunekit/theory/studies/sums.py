"""D, Figure 2: how densely do the sums of few samples lie, and the values of many?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from prunekit.reports.plots import figure
from prunekit.theory.domain import between, positive, refuse, whole
from prunekit.theory.studies.catalogue import Outcome, Progress, Row, no_progress

Floats = np.ndarray[Any, np.dtype[np.float64]]
GAMMA = 2 / 3


def hyperbolic(rng: np.random.Generator, count: int, eps: float, w_max: float) -> Floats:
    """Density c/v on [gamma^2 eps, gamma w_max] (D, Corollary 10)."""
    low, high = GAMMA**2 * eps, GAMMA * w_max
    return low * (high / low) ** rng.random(count)


LAWS: Mapping[str, Callable[[np.random.Generator, int, float, float], Floats]] = {
    "hyperbolic": hyperbolic,
    "uniform": lambda rng, count, eps, w_max: w_max * rng.random(count),
    "gaussian": lambda rng, count, eps, w_max: w_max * np.abs(rng.standard_normal(count)),
}
"""How sizes are drawn; the Gaussian (standard deviation w_max) is no part of the paper's figure."""


def sub_sums(values: Floats) -> Floats:
    """The sums of all 2^n subsets, sorted."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return np.sort(sums)


def gaps_within(points: Floats, w_max: float) -> Floats:
    """Distances between neighbours among the points in [0, w_max] and both ends."""
    inside = points[(points > 0) & (points < w_max)]
    return np.diff(np.concatenate([[0.0], np.sort(inside), [w_max]]))


def figure_2(
    progress: Progress = no_progress,
    *,
    few: int = 15,
    many: int = 1000,
    eps: float = 1e-3,
    w_max: float = 1.0,
    seeds: int = 20,
) -> Outcome:
    """Sorted values of many uniform samples, and sub-sums of few of each law.

    A row holds the medians over seeds of the median and the largest gap in [0, w_max] and of the
    share of [0, w_max] within eps of a point. The typical gap of few hyperbolic samples is the
    smallest; their largest is not, and nothing in the paper says so (it is about 0.05, against
    0.0073 of 1000 uniform ones).
    """
    between(1, 20, few=few)
    whole(1, few=few, many=many, seeds=seeds)
    positive(eps=eps, w_max=w_max)
    if eps > w_max:
        raise refuse("eps", eps, f"be at most w_max = {w_max:.6g}")
    kinds = [("uniform", many, False), *[(name, few, True) for name in LAWS]]
    drawn = figure(9, 3.5)
    left, right = drawn.subplots(1, 2)
    rows: list[Row] = []
    for index, (name, count, summed) in enumerate(kinds):
        errors = []
        for seed in range(seeds):
            values = LAWS[name](np.random.default_rng([seed, index]), count, eps, w_max)
            points = sub_sums(values) if summed else np.sort(values)
            gaps = gaps_within(points, w_max)
            errors.append((np.median(gaps), gaps.max(), np.minimum(gaps, 2 * eps).sum() / w_max))
        label = f"{count} {name}" + (", sums" if summed else "")
        inside = points[points <= w_max]
        left.plot(np.linspace(0, 1, len(inside)), inside, label=label)
        right.plot(np.linspace(0, 1, len(gaps)), np.sort(gaps), label=label)
        median, largest, share = np.median(errors, axis=0)
        rows.append({"samples": count, "law": name, "points": "sums" if summed else "values",
                     "median gap": float(median), "largest gap": float(largest),
                     "share within eps": float(share)})  # fmt: skip
        progress(index + 1, len(kinds))
    left.set(xlabel="rank / number of points", ylabel="value", title="sorted")
    right.set(xlabel="rank / number of gaps", ylabel="gap", yscale="log", title="sorted gaps")
    left.legend(fontsize=7)
    return rows, drawn
