"""A, Lemma A.4: how often does a random network of a width hold a weight, with R draws each?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prunekit.errors import SpecError
from prunekit.reports.plots import figure
from prunekit.theory.bounds import iterand_event_probability, iterand_width
from prunekit.theory.domain import whole
from prunekit.theory.studies.catalogue import Outcome, Progress, Row, no_progress


def width(
    progress: Progress = no_progress,
    *,
    w: float = 1.0,
    eps: float = 0.25,
    delta: float = 0.05,
    draws: Sequence[int] = (1, 2, 4, 8),
    trials: int = 1000,
    seed: int = 0,
) -> Outcome:
    """Success of the event in the proof of Lemma A.4 against hidden width, for R in `draws`.

    At a quarter, half and whole of the printed width, and at the corrected one (A1: the R^2 pairs
    of a neuron share draws, so the printed width fails more often than delta once R >= 2). "rate"
    is measured in `trials` networks, "exact" computed, "enough" says whether exact >= 1 - delta.
    """
    if not draws:
        raise SpecError("draws must hold a number: none given")
    whole(1, trials=trials, **{f"draws[{i}]": R for i, R in enumerate(draws)})
    whole(0, seed=seed)
    rng, rows = np.random.default_rng(seed), list[Row]()
    for index, R in enumerate(draws):
        printed, corrected = (
            iterand_width("A4", eps, delta, R, form=form) for form in ("printed", "corrected")
        )
        part = {max(2, 2 * round(share * printed / 2)): "" for share in (0.25, 0.5)}
        widths = {**part, printed: "printed", corrected: "corrected"}
        for d, form in sorted(widths.items()):
            exact = iterand_event_probability(w, eps, d, R)
            rate = success_rate(w, eps, d, R, trials, rng)
            rows.append({"R": R, "width": d, "form": form, "rate": rate, "exact": exact,
                         "enough": exact >= 1 - delta})  # fmt: skip
        progress(index + 1, len(draws))
    drawn = figure(5, 3.5)
    axes = drawn.subplots()
    for R in draws:
        mine = [row for row in rows if row["R"] == R]
        (line,) = axes.plot(
            [r["width"] for r in mine], [r["exact"] for r in mine], label=f"R = {R}"
        )
        axes.plot(
            [r["width"] for r in mine], [r["rate"] for r in mine], "o", color=line.get_color()
        )
    axes.axhline(1 - delta, color="gray", linestyle=":")
    axes.set(xscale="log", xlabel="hidden width", ylabel="success rate")
    axes.legend()
    return rows, drawn


def success_rate(
    w: float, eps: float, d: int, R: int, trials: int, rng: np.random.Generator
) -> float:
    """Share of networks in which both halves of the d neurons hold the weight.

    A neuron does when one of its R draws of u is within eps/2 of the sign and one of v within
    eps/2 of the weight, all from U[-1, 1].
    """
    successes = 0
    for start in range(0, trials, 100):
        count = min(100, trials - start)
        u, v = (rng.uniform(-1, 1, (count, 2, d // 2, R)) for _ in range(2))
        sign = np.array([1.0, -1.0]).reshape(1, 2, 1, 1)
        near = (np.abs(u - sign) <= eps / 2).any(3) & (np.abs(v - sign * w) <= eps / 2).any(3)
        successes += int(near.any(2).all(1).sum())
    return successes / trials
