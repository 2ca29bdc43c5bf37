"""One run in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from prunekit.reports import papers, reading, report
from prunekit.reports.page.layers import LayerTable, layer_table
from prunekit.reports.page.trials import Trial
from prunekit.reports.report import spelled

MOST_LAYERS = 4000
"""Layers of runs, one by one, in a page at most; what is left out is said."""


@attrs.frozen
class Panel:
    """One run in detail."""

    id: str
    name: str
    folder: str
    facts: list[tuple[str, str]]
    lines: list[str]
    layers: LayerTable | None


def panels(trials: Sequence[Trial]) -> list[Panel]:
    """Each run with its layers, as long as there is room for them."""
    left, made = MOST_LAYERS, []
    for trial in trials:
        left -= len(trial.layers)
        made.append(_panel(trial, trial.layers if left >= 0 else ()))
    return made


def _panel(trial: Trial, shown: Sequence[Mapping[str, Any]]) -> Panel:
    lines = [trial.damage] if trial.damage else []
    if trial.layers and not shown:
        lines.append(f"Its layers are in a page of its own: prunekit report {trial.row.folder}")
    if not trial.layers:
        lines.append(f"It is {trial.row.state}; its layers are not known yet.")
    name = f"Run {trial.number}: {trial.name}, seed {trial.row.seed}, {trial.row.state}"
    made = layer_table(shown) if shown else None
    return Panel(trial.id, name, str(trial.row.folder), [], lines, made)


def alone(trial: Trial) -> Panel:
    """The one run of a page: all that `prunekit show` prints."""
    run = reading.read_run(trial.row.folder)
    facts = [*report.summary_rows(run.summary), *papers.beside(run.published, run.summary)]
    lines = report.remarks(run) if run.summary else [report.progress_line(run.lines)]
    told = [(key, spelled(value)) for key, value in facts]
    made = layer_table(run.layers) if run.layers else None
    return Panel(trial.id, trial.name, str(run.folder), told, lines, made)
