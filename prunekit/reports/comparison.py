"""Runs side by side: a table of what differs and what came out, and one figure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from prunekit.errors import SpecError
from prunekit.reports import papers
from prunekit.reports.cells import Stat, comparable, spelling, stat_of, varying
from prunekit.reports.formats import in_parts
from prunekit.reports.notes import unfinished
from prunekit.reports.reading import read_run
from prunekit.reports.report import console, make_table, print_lines, spelled, widths_of
from prunekit.reports.rounding import rounded
from prunekit.reports.tidy import Row, rows
from prunekit.storage.runfolder import RunFolder, refuse_kept

if TYPE_CHECKING:
    from rich.table import Table

    from prunekit.reports.series import Chart

FEW = 12
"""Runs that may stand side by side, as columns; more are lines."""
PIPED = 100
"""Columns where no terminal says how many it has."""
LONGEST = 32
"""Characters of a name in a table; longer ones stand above it, numbered."""


def compare(folders: Sequence[str | Path], plot: str | Path | None = None) -> None:
    """Print runs side by side, with the keys in which their specs differ; overlay their curves.

    Runs of several seeds in one folder, and those of a cell of a sweep, are one row: mean ± sample
    standard deviation. plot: the file to draw; None = nothing is written. StorageError for a run
    that is given itself and damaged; one of a sweep is a row that says so.
    """
    if plot is not None:
        refuse_kept(plot)
    for folder in folders:
        if RunFolder(Path(folder)).holds_run():
            read_run(folder)
    found = grouped(folders)
    every = [row for group in found.values() for row in group]
    head, body = compared(found)
    out = console()
    width = out.width if out.is_terminal else min(out.width, PIPED)
    for table in shown(head, body, width - 2):
        out.print(table) if not isinstance(table, str) else print_lines([table])
    print_lines(list(unfinished(every)))
    if plot is not None:
        from prunekit.reports import figures

        figures.save(charts(found), plot)
        print_lines([f"plot: {plot}"])


def grouped(folders: Sequence[str | Path]) -> dict[str, list[Row]]:
    """The rows of each name; SpecError where the seeds of a folder differ in more.

    A run that is given itself is a row; of others, those of several seeds in one folder.
    """
    given = {Path(folder).resolve() for folder in folders}
    groups: dict[Path, list[Row]] = {}
    for row in rows(folders):
        own = row.folder.resolve() in given or not row.folder.name.startswith("seed-")
        groups.setdefault(row.folder if own else row.folder.parent, []).append(row)
    for place, group in groups.items():
        if varying(group):
            raise SpecError(f"{place} holds runs of several specs; give them one by one")
    return dict(zip(names_of(list(groups)), groups.values()))


def names_of(folders: Sequence[str | Path]) -> list[str]:
    """The last part of each path; where two are the same, all that differs."""
    paths = [Path(folder).resolve() for folder in folders]
    names = [path.name or str(path) for path in paths]
    if len({*names}) == len({*paths}):
        return names
    common = Path(os.path.commonpath([path.parent for path in paths]))
    return [str(path.relative_to(common)) for path in paths]


def compared(groups: Mapping[str, Sequence[Row]]) -> tuple[list[str], list[list[Any]]]:
    """Heads and one row for each: its name, what differs, then what came out."""
    first = [group[0] for group in groups.values()]
    several = ["runs"] if any(len(group) > 1 for group in groups.values()) else []
    seeds = ["seed"] if not several and len({row.seed for row in first}) > 1 else []
    keys = [key for key in varying(first) if key != "sweep"]
    every = [row for group in groups.values() for row in group]
    metrics = [*outcomes(every), "density", "kept", "flops.effective", "seconds"]
    usable = {metric: {id(row) for row in comparable(every, metric)} for metric in metrics}
    paper = ["published"] if any(row.published for row in first) else []
    body = [
        [name]
        + [group[0].seed for _ in seeds]
        + [group[0].cell.get(key) for key in keys]
        + [counted(group) for _ in several]
        + [over_seeds([row for row in group if id(row) in usable[m]], m) for m in metrics]
        + [papers.short(group[0].published) for _ in paper]
        for name, group in groups.items()
    ]
    return ["run", *seeds, *keys, *several, *metrics, *paper], body


def counted(group: Sequence[Row]) -> str:
    """How many runs a row is of, and how many there are if some are not done."""
    done = sum(row.state == "done" for row in group)
    failed = sum(row.state == "failed" for row in group)
    count = str(done) if done == len(group) else f"{done} of {len(group)}"
    return f"{count}, {failed} failed" if failed else count


def over_seeds(group: Sequence[Row], metric: str) -> Any:
    """A number of the finished runs: itself, or mean ± sample standard deviation of several."""
    stat: Stat = stat_of(group, metric)
    if not stat.std:
        return stat.mean
    return " ± ".join(filter(None, rounded(stat.mean or 0.0, stat.std)))


def outcomes(every: Sequence[Row]) -> list[str]:
    """What of the test set is compared: the accuracy; the loss where a finished run has none."""
    known = ["test.accuracy" in row.metrics for row in every if row.state == "done"]
    return ["test.accuracy"] * (any(known) or not known) + ["test.loss"] * (not all(known))


def shown(head: Sequence[str], body: Sequence[Sequence[Any]], width: int) -> Iterable[Table | str]:
    """Tables that fit `width`, and lines above them for what they only number.

    One table if that fits; else a column for each of few runs; else the columns in parts.
    """
    body = [[cell if _plain(cell) else spelling(cell) for cell in line] for line in body]
    if sum(widths_of(head, body)) <= width:
        return [make_table("runs", head, body)]
    wide = max(len(spelled(line[0])) for line in body) > LONGEST
    if not wide and len(body) > FEW:
        return in_columns(head, body, width)
    names = ["runs", *(f"  {number}  {line[0]}" for number, line in enumerate(body, 1))]
    numbered = [[str(number), *line[1:]] for number, line in enumerate(body, 1)]
    few = transposed(head, body, width) if len(body) <= FEW else in_columns(head, numbered, width)
    return [*names, *few]


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def in_columns(head: Sequence[str], body: Sequence[Sequence[Any]], width: int) -> list[Table]:
    """Tables of all lines, each with the first column and as many others as fit."""
    parts = in_parts(widths_of(head, body), 1, width)
    return [
        make_table("", [head[at] for at in part], [[line[at] for at in part] for line in body])
        for part in parts
    ]


def transposed(head: Sequence[str], body: Sequence[Sequence[Any]], width: int) -> list[Table]:
    """Tables with one column a run, numbered from 1, as many side by side as fit `width`."""
    labels = list(head[1:])
    columns = [[str(number), *line[1:]] for number, line in enumerate(body, 1)]
    wide = [max(len(spelled(cell)) for cell in column) + 3 for column in columns]
    across = max(1, (width - max(map(len, labels)) - 3) // max(wide))
    return [
        make_table(
            "", ["", *(column[0] for column in group)], list(zip(labels, *(c[1:] for c in group)))
        )
        for group in (columns[at : at + across] for at in range(0, len(columns), across))
    ]


def charts(groups: Mapping[str, Sequence[Row]]) -> list[Chart]:
    """Accuracy (or loss) by epoch and density by layer, a line for each name.

    Of many runs that differ in a number, as the density, accuracy against that. SpecError where
    there is no number yet.
    """
    from prunekit.reports import series

    every = [row for group in groups.values() for row in group]
    if len(groups) > FEW and series.default_x(every) != series.EPOCH:
        return [series.chart(every)]
    named = [
        attrs.evolve(row, cell={"run": name}) for name, group in groups.items() for row in group
    ]
    made = [series.along(named, x, None, ("run",)) for x in (series.EPOCH, series.LAYER)]
    if not any(chart.series for chart in made):
        raise SpecError("there is nothing to draw: no run has an epoch or a layer yet")
    return [chart for chart in made if chart.series]
