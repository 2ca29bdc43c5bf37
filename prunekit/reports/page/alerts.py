"""What a reader of the page must know before any number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prunekit.reports.cells import spelling
from prunekit.reports.page.layers import has_collapsed
from prunekit.reports.page.trials import Trial

MOST = 8
"""Things of one kind that are named; of more their count is told."""

Study = tuple[Path, Mapping[str, Any]]
"""The folder of a sweep, and its sweep.json."""


@attrs.frozen
class Alert:
    text: str
    bad: bool = False


def alerts(trials: Sequence[Trial], studies: Sequence[Study]) -> Iterable[Alert]:
    """What a reader must know before any number: failures, collapse, what is missing."""
    states = Counter(trial.row.state for trial in trials)
    if states["failed"]:
        yield Alert(f"{states['failed']} of {len(trials)} runs failed; see below.", bad=True)
    if left := len(trials) - states["failed"] - states["done"]:
        yield Alert(f"{left} of {len(trials)} runs are not finished; they are in no mean.")
    if text := _collapse(trials):
        yield Alert(text, bad=True)
    for trial in [trial for trial in trials if trial.damage][:MOST]:
        yield Alert(trial.damage, bad=True)
    for folder, study in studies:
        for one in study.get("left_out", []):
            name = ", ".join(map(spelling, one["cell"].values()))
            yield Alert(f"Left out: {name}: {one['reason']}")
        if gone := study.get("orphaned", []):
            yield Alert(f"No longer in the study, and not on this page: {_some(gone)} in {folder}")


def _collapse(trials: Sequence[Trial]) -> str:
    """Which layers keep no weight, in how many runs; "" where none has."""
    counts = Counter(row["name"] for trial in trials for row in trial.layers if has_collapsed(row))
    runs = sum(any(map(has_collapsed, trial.layers)) for trial in trials)
    known = sum(bool(trial.layers) for trial in trials)
    told = _some([f"{name} in {count}" for name, count in counts.most_common()])
    return f"Layer collapse in {runs} of {known} runs: {told}." if runs else ""


def _some(names: Sequence[str], most: int = MOST) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])
