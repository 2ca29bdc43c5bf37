"""What a reader of the page must know before any number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from prunekit.reports.labels import spelling
from prunekit.reports.page.controls import beaten_by_none
from prunekit.reports.page.layers import has_collapsed
from prunekit.reports.page.trials import Study, Trial
from prunekit.reports.page.words import runs, some

CHANGED = "†"
"""The mark of a run that other code has made."""
MOST = 8
"""Damaged runs that are named."""


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
    if lines := beaten_by_none([trial.row for trial in trials]):
        told = some(lines, separator="; ")
        yield Alert(f"Not better than a control by more than both standard deviations: {told}")
    if changed := [trial for trial in trials if trial.changed]:
        kinds = some([*dict.fromkeys(kind for trial in changed for kind in trial.changed)])
        told = f"{runs(len(changed))} of other code ({kinds}) than when the sweep last began"
        yield Alert(f"{CHANGED} {told}; their numbers are counted with the others.")
    for trial in [trial for trial in trials if trial.damage][:MOST]:
        yield Alert(trial.damage, bad=True)
    for folder, study in studies:
        yield from map(Alert, _left_out(study))
        if gone := study.get("orphaned", []):
            yield Alert(f"No longer in the study, and not on this page: {some(gone)} in {folder}")


def _left_out(study: Mapping[str, Any]) -> list[str]:
    """A line for each reason for which combinations are left out, with their names."""
    names: dict[str, list[str]] = {}
    for one in study.get("left_out", []):
        name = ", ".join(map(spelling, one["cell"].values()))
        names.setdefault(one["reason"], []).append(name)
    return [f"Left out: {some(cells, separator='; ')}: {why}" for why, cells in names.items()]


def _collapse(trials: Sequence[Trial]) -> str:
    """Which layers keep no weight, in how many runs; "" where none has."""
    counts = Counter(row["name"] for trial in trials for row in trial.layers if has_collapsed(row))
    having = sum(any(map(has_collapsed, trial.layers)) for trial in trials)
    known = sum(bool(trial.layers) for trial in trials)
    told = some([f"{name} in {count}" for name, count in counts.most_common()])
    return f"Layer collapse in {having} of {known} runs: {told}." if having else ""
