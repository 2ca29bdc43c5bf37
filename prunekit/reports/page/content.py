"""What stands on the page, read from folders: no markup, no script."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prunekit.reports import papers
from prunekit.reports.page import failures, layers, origins, tables
from prunekit.reports.page.differences import differences
from prunekit.reports.page.origins import Fact
from prunekit.reports.page.trials import Trial, read_trials
from prunekit.reports.report import spelled
from prunekit.reports.tidy import STUDY, read_sweep

MOST_LAYERS = 4000
"""Layers of runs, one by one, in a page at most; what is left out is said."""


@attrs.frozen
class Alert:
    text: str
    bad: bool = False


@attrs.frozen
class Panel:
    """One run in detail."""

    id: str
    name: str
    folder: str
    facts: list[tuple[str, str]]
    lines: list[str]
    layers: layers.LayerTable | None


@attrs.frozen
class File:
    name: str
    lines: list[str]


@attrs.frozen
class Page:
    """Every part of the page; an empty one is left out."""

    title: str
    subtitle: str
    source: str
    numbers: list[tuple[str, str]]
    alerts: list[Alert]
    figures: list[Any]
    cells: tables.Table | None
    failures: list[failures.Failure]
    more_failures: str
    heats: list[layers.Heat]
    runs: tables.Table | None
    panels: list[Panel]
    alone: bool
    differences: list[Fact]
    origins: list[Fact]
    files: list[File]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """(id, title) of the parts that are there."""
        return [(name, title) for name, title, there in self._parts() if there]

    def _parts(self) -> Iterable[tuple[str, str, Any]]:
        yield "figures", "Figures", self.figures
        yield "results", "Results", self.cells
        yield "failures", "Failures", self.failures
        yield "layers", "Layers", self.heats or self.alone
        yield "runs", "Runs", self.runs
        yield "differences", "What differs", self.differences
        yield "origins", "Where from", True


def read_page(folders: Sequence[str | Path]) -> Page:
    """Everything that the page of these folders says."""
    trials = read_trials(folders)
    studies = [
        (Path(one), read_sweep(Path(one))) for one in folders if os.path.lexists(Path(one) / STUDY)
    ]
    facts = origins.origins([trial.record for trial in trials if trial.record])
    alone = len(trials) == 1 and not studies
    failed = failures.failures([(trial.name, trial.row) for trial in trials])
    return Page(
        title=_title(folders),
        subtitle=_subtitle(trials),
        source=", ".join(map(str, folders)) if len(folders) < 4 else f"{len(folders)} folders",
        numbers=_numbers(trials),
        alerts=[*_alerts(trials, studies), *map(Alert, origins.mixed(facts))],
        figures=[],
        cells=None,
        failures=failed,
        more_failures=_more(trials, failed),
        heats=[] if alone else layers.heats(_by_name(trials)),
        runs=None if alone else _runs(trials),
        panels=_panels(trials),
        alone=alone,
        differences=differences([(trial.name, trial.spec) for trial in trials if trial.spec]),
        origins=facts,
        files=_files(studies),
    )
