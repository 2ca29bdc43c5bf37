"""B, Tables 2 and 3: spectral norms of random matrices, and the constant of Latala's bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prunekit.errors import SpecError
from prunekit.reports.plots import figure
from prunekit.theory.domain import plain, refuse
from prunekit.theory.empirical import Law, latala_constant, spectral_norm_table
from prunekit.theory.studies.catalogue import Outcome, Progress, Row, no_progress

SIZES = ((32, 32), (64, 64), (128, 128), (32, 128), (64, 128), (128, 256))


def table_2(
    progress: Progress = no_progress,
    *,
    sizes: Sequence[tuple[int, int]] = SIZES,
    K: float = 1.0,
    trials: int = 1000,
    seed: int = 0,
) -> Outcome:
    """Mean, deviation and quantiles c0 of ||W||_2, entries from U[-K, K]/sqrt(max(n1, n2)).

    A row a size (n1, n2); delta0_q = -ln((1 - q)/2)/(4 max) goes with the quantile q. The paper
    draws 1,000 matrices of up to 512 rows; with them the 99.99 % quantile is only the interpolated
    maximum. asymptote: K (sqrt n1 + sqrt n2)/sqrt(3 max).

    sizes: pairs n1, n2: 32,32 or [[32,32],[64,128]]
    """
    rows: list[Row] = []
    asked = pairs(sizes)
    for index, (n1, n2) in enumerate(asked):
        rows.append({"n1": n1, "n2": n2, **spectral_norm_table(n1, n2, K, trials, seed)})
        progress(index + 1, len(asked))
    drawn = figure(6, 3.5)
    axes = drawn.subplots()
    places = range(len(rows))
    means, spreads = ([row[key] for row in rows] for key in ("mean", "std"))
    axes.errorbar(places, means, spreads, fmt="o", label="mean and deviation")
    axes.plot(places, [row["q99"] for row in rows], "^", label="99 % quantile")
    axes.plot(places, [row["asymptote"] for row in rows], "_", markersize=14, label="asymptote")
    axes.set_xticks(places, [f"{row['n1']} x {row['n2']}" for row in rows], fontsize=7)
    axes.set_ylabel("spectral norm")
    axes.legend(fontsize=7)
    return rows, drawn


def pairs(sizes: Any) -> list[list[int]]:
    """Pairs given one by one, or all in one list; SpecError where there is none or half a pair."""
    items = sizes.tolist() if hasattr(sizes, "tolist") else plain(sizes)
    if isinstance(items, list) and not any(isinstance(item, list) for item in items):
        items = [items[place : place + 2] for place in range(0, len(items), 2)]
    if not (isinstance(items, list) and items) or any(
        not isinstance(pair, list) or len(pair) != 2 for pair in items
    ):
        raise refuse("sizes", sizes, "hold pairs n1, n2, as in 32,32 or [[32,32],[64,128]]")
    return items


def table_3(
    progress: Progress = no_progress,
    *,
    widths: Sequence[int] = (32, 64),
    laws: Sequence[Law] = ("uniform", "normal"),
    alphas: Sequence[float | None] = (None, 0.5, 0.01),
    trials: int = 1000,
    seed: int = 0,
) -> Outcome:
    """C = E||A|| / (Latala's bound without its constant) for d x d matrices and their kept parts.

    alpha: floor(d^(2 - alpha)) entries are drawn with replacement and pruned; None prunes nothing.
    The paper estimates the moments, whose maxima bias C down by about 0.004; the column
    C_exact_moments has the exact ones. The 0.6 that comes out is no universal constant: a row
    vector of n signs gives sqrt(n)/(sqrt(n) + 1 + n^(1/4)), which tends to 1 (erratum B7).
    """
    cases = [(d, law, alpha) for d in widths for law in laws for alpha in alphas]
    if not cases:
        raise SpecError("widths, laws and alphas must each hold a value")
    rows: list[Row] = []
    for index, (d, law, alpha) in enumerate(cases):
        found = latala_constant(d, law, 1.0, alpha, trials, "kept", True, seed)
        rows.append({"d": d, "law": law, "alpha": alpha, **found})
        progress(index + 1, len(cases))
    drawn = figure(6, 3.5)
    axes = drawn.subplots()
    for law in laws:
        for d in widths:
            mine = [row for row in rows if (row["law"], row["d"]) == (law, d)]
            axes.plot([str(r["alpha"]) for r in mine], [r["C"] for r in mine], "o-",
                      label=f"{law}, d = {d}")  # fmt: skip
    axes.set(xlabel="alpha (None: nothing is pruned)", ylabel="C", ylim=(0, 1.05))
    axes.legend(fontsize=7)
    return rows, drawn
