"""What a sweep would do, told without doing it: its cells, what there is, and how long it takes."""

from __future__ import annotations

import contextlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence

from prunekit.errors import StorageError
from prunekit.reports.columns import columns
from prunekit.reports.labels import spelling
from prunekit.storage.runfolder import RunFolder
from prunekit.sweeps.conduct import Sweep
from prunekit.sweeps.places import STATES
from prunekit.sweeps.progress import duration
from prunekit.sweeps.study import said
from prunekit.sweeps.trials import Trial


def foretold(sweep: Sweep, retry_failed: bool, jobs: int | None) -> list[str]:
    """Lines: the table of cells, what is left out, counts, and an estimate of the time.

    jobs: how many run at once; None = the engine does not say, and one at a time is reckoned.
    """
    left = sweep.to_do(retry_failed)
    counts = Counter(sweep.states().values())
    lines = [columns(_table(sweep)), ""]
    lines += [f"left out: {said(cell)}: {reason}" for cell, reason in sweep.left_out]
    cells, seeds = len(_cells(sweep.trials)), len(sweep.study.seeds)
    lines.append(f"{len(sweep.trials)} trials = {cells} cells x {seeds} seeds, in {sweep.out}")
    here = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    lines.append(f"{here}; {len(left)} to run now{_estimate(sweep, left, jobs)}")
    return lines


def _cells(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    found = defaultdict(list)
    for trial in trials:
        found[trial.cell_id].append(trial)
    return dict(found)


def _table(sweep: Sweep) -> list[list[str]]:
    """A row for each cell: its values, its seeds, and how many of them are how far."""
    names = [axis.name for axis in sweep.study.axes]
    rows = [[*names, "seeds", *STATES]]
    states = sweep.states()
    for trials in _cells(sweep.trials).values():
        cell = trials[0].cell
        values = [spelling(cell[name]) if name in cell else "-" for name in names]
        counts = Counter(states[trial.folder] for trial in trials)
        rows.append([*values, str(len(trials)), *(str(counts[s] or "-") for s in STATES)])
    return rows


def _estimate(sweep: Sweep, left: Sequence[Trial], jobs: int | None) -> str:
    """About how long the trials that are left take, by those that ran in this folder.

    By warm ones, where there are any: the first run of a process loads what the others have.
    """
    ran = [(trial.cell_id, *_seconds(sweep, trial)) for trial in sweep.trials]
    all_cold = all(cold for _, took, cold in ran if took is not None)
    seconds: dict[str, list[float]] = defaultdict(list)
    for cell, took, cold in ran:
        if took is not None and (all_cold or not cold):
            seconds[cell].append(took)
    known = [one for many in seconds.values() for one in many]
    if not left or not known:
        return "" if not left else "; no trial has run here, so nothing tells how long it takes"
    mean = statistics.fmean(known)
    total = sum(statistics.fmean(seconds[trial.cell_id] or [mean]) for trial in left)
    each = ", one at a time" if jobs is None else f", {jobs} at a time" if jobs > 1 else ""
    return f", about {duration(total / (jobs or 1))}{each} by the {len(known)} that ran here"


def _seconds(sweep: Sweep, trial: Trial) -> tuple[float | None, bool]:
    """How long a trial ran, None where it is not done; whether it was the first of a process."""
    with contextlib.suppress(StorageError):
        if sweep.place(trial).is_done:
            summary = RunFolder(sweep.place(trial).folder).read_summary()
            return summary.get("seconds"), bool(summary.get("cold_seconds"))
    return None, False
