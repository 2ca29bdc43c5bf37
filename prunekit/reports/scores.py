"""How the scores of weights are spread, of runs that kept them. Imports torch to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import SpecError
from prunekit.reports.cells import Stat, words_of
from prunekit.reports.series import Chart, Point, Series, line_keys, name_of
from prunekit.reports.tidy import Row
from prunekit.storage.runfolder import RunFolder

BINS = 40
"""Of equal width in log |score|, from the smallest to the largest of all runs."""
FILE = "scores.safetensors"
SHARE = "share of weights"

Values = NDArray[np.float64]


def by_score(rows: Sequence[Row], by: Sequence[str]) -> Chart:
    """The share of the weights in each bin of |score|, in the last round that kept its scores.

    A line's label has the share of scores that are 0, which no log axis shows. SpecError where no
    run kept scores.
    """
    keys, groups = line_keys(rows, by, ""), dict[str, list[Values]]()
    for row, words in zip(rows, words_of(rows, keys)):
        if path := last_scores(row.folder):
            found = read_scores(RunFolder(row.folder).held(path))
            groups.setdefault(name_of(row.cell, keys, words), []).append(found)
    present = [values[values > 0] for runs in groups.values() for values in runs]
    present = [values for values in present if values.size]
    if not present:
        raise SpecError("no run kept scores: run with --rounds.keep all, and draw that")
    low, high = min(map(np.min, present)), max(map(np.max, present))
    edges = np.geomspace(low, high if high > low else 2 * low, BINS + 1)
    edges[-1] = max(edges[-1], high)
    return Chart("|score|", SHARE, tuple(_lines(groups, edges)), log=True)


def last_scores(folder: Path) -> Path | None:
    """The scores of the last round that a run kept any of; None where it kept none."""
    kept = [p for p in (folder / "rounds").glob(f"*/{FILE}") if p.parent.name.isdecimal()]
    return max(kept, key=lambda path: int(path.parent.name), default=None)


def read_scores(path: Path) -> Values:
    """|score| of every weight of a file of scores, as one array."""
    from prunekit.storage.tensorfile import read_tensors

    tensors, _ = read_tensors(path)
    parts = [tensor.double().abs().flatten().numpy() for tensor in tensors.values()]
    whole: Values = np.concatenate([*parts, np.empty(0)])
    return whole[np.isfinite(whole)]


def _lines(groups: Mapping[str, Sequence[Values]], edges: Values) -> list[Series]:
    middles = np.sqrt(edges[:-1] * edges[1:])
    lines = []
    for label, runs in groups.items():
        zeros = sum(float(np.mean(values == 0)) for values in runs if values.size) / len(runs)
        told = f"{label} ({zeros:.0%} are 0)" if zeros else label
        shares = [np.histogram(v, edges)[0] / max(v.size, 1) for v in runs]
        points = [
            Point(float(x), Stat(tuple(float(share[at]) for share in shares), len(runs)))
            for at, x in enumerate(middles)
        ]
        lines.append(Series(told.strip(), tuple(points)))
    return lines
