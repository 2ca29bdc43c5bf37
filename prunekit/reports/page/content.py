"""What stands on the page, read from folders: no markup, no script."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import PrunekitError
from prunekit.reports.cells import varying, words_of
from prunekit.reports.labels import same
from prunekit.reports.layout import Layout, laid_out
from prunekit.reports.notes import unfinished
from prunekit.reports.page import failures, layers, origins, tables
from prunekit.reports.page.alerts import Alert, alerts
from prunekit.reports.page.differences import differences
from prunekit.reports.page.origins import Fact
from prunekit.reports.page.panels import Panel, alone, panels
from prunekit.reports.page.pictures import Picture, pictures
from prunekit.reports.page.results import cell_table, run_table
from prunekit.reports.page.trials import Study, Trial, read_studies, read_trials
from prunekit.reports.question import Question
from prunekit.reports.report import spelled
from prunekit.reports.tidy import Row
from prunekit.storage.texts import read_regular, regular_inside


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
    figures: list[Picture]
    wide: Layout | None
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
    studies = read_studies(folders)
    trials = read_trials(folders, studies)
    found = [trial.row for trial in trials]
    facts = origins.origins([trial.record for trial in trials if trial.record])
    single = len(trials) == 1 and not studies
    drawn, missing = pictures([trial.row for trial in trials if not trial.damage])
    failed, more = failures.failures([(trial.name, trial.row) for trial in trials])
    return Page(
        title=_title(folders),
        subtitle=_subtitle(trials),
        source=", ".join(map(str, folders)) if len(folders) < 4 else f"{len(folders)} folders",
        numbers=_numbers(trials, single),
        alerts=[*alerts(trials, studies), *map(Alert, [*origins.mixed(facts), *missing])],
        figures=drawn,
        wide=_wide(found) if studies else None,
        cells=None if single else cell_table(found),
        failures=failed,
        more_failures=more,
        heats=[] if single else layers.heats(_by_name(trials)),
        runs=None if single else run_table(trials),
        panels=[alone(trials[0])] if single else panels(trials),
        alone=single,
        differences=_differences(trials),
        origins=facts,
        files=_files(studies),
    )


def _differences(trials: Sequence[Trial]) -> list[Fact]:
    keys = varying([trial.row for trial in trials])
    known = [trial for trial in trials if trial.spec]
    cells = words_of([trial.row for trial in known], keys)
    return differences([(cell, one.name, one.spec) for cell, one in zip(cells, known)])


def _title(folders: Sequence[str | Path]) -> str:
    names = [Path(one).resolve().name for one in folders]
    return ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"


def _subtitle(trials: Sequence[Trial]) -> str:
    """Who was compared: the keys that vary, and how many values each has."""
    rows = [trial.row for trial in trials]
    parts = [f"{len({same(row.cell.get(key)) for row in rows})} × {key}" for key in varying(rows)]
    seeds = len({row.seed for row in rows})
    return ", ".join([*parts, f"{seeds} seeds"] if seeds > 1 else parts)


def _numbers(trials: Sequence[Trial], single: bool) -> list[tuple[str, str]]:
    """The numbers at the head of the page: of one run what it reached, else how far all are."""
    if single:
        (trial,) = trials
        keys = ("test.accuracy", "test.loss", "density", "kept", "dead", "empty", "seconds")
        known = trial.row.metrics
        return [(key, spelled(known[key])) for key in keys if key in known]
    states = Counter(trial.row.state for trial in trials)
    return [("runs", spelled(len(trials))), *((s, spelled(n)) for s, n in states.most_common())]


def _wide(rows: Sequence[Row]) -> Layout | None:
    """The table as in a paper; None where it would be the one of every combination.

    What is not finished stands in a part of its own.
    """
    made, elsewhere = laid_out(rows, Question()), {*unfinished(rows)}
    notes = tuple(note for note in made.notes if note not in elsewhere)
    return attrs.evolve(made, notes=notes) if made.across else None


def _by_name(trials: Sequence[Trial]) -> dict[str, list[Sequence[Mapping[str, Any]]]]:
    """Name of a cell -> the layers of each of its finished runs."""
    groups: dict[str, list[Sequence[Mapping[str, Any]]]] = {}
    for trial in trials:
        if trial.layers:
            groups.setdefault(trial.name, []).append(trial.layers)
    return groups


def _files(studies: Sequence[Study]) -> list[File]:
    """The study's file, as it was read."""
    found = [folder / "sweep.toml" for folder, _ in studies]
    return [File(str(p), _lines_of(p)) for p in found if os.path.lexists(p)]


def _lines_of(path: Path) -> list[str]:
    try:
        return (
            read_regular(regular_inside(path, path.parent)).decode("utf-8", "replace").split("\n")
        )
    except (PrunekitError, OSError, ValueError) as error:
        return [f"cannot read it: {error}"]
