"""Runs side by side: a table of what differs and what came out, and one plot."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunekit.errors import SpecError
from prunekit.reports import papers
from prunekit.reports.plots import plot_compare
from prunekit.reports.report import (
    Run,
    console,
    make_table,
    print_lines,
    read_run,
    spelled,
    widths_of,
)
from prunekit.reports.varied import flat
from prunekit.storage.runfolder import RunFolder, refuse_kept

if TYPE_CHECKING:
    from rich.table import Table


def compare(folders: Sequence[str | Path], plot: str | Path | None = None) -> None:
    """Print runs side by side, with the keys in which their specs differ; overlay their curves.

    A folder that `--seeds` made is one row: mean ± sample standard deviation over its runs.
    plot: the PNG to draw; None = nothing is written.
    """
    if plot is not None:
        refuse_kept(plot)
    groups = dict(zip(names_of(folders), map(read_group, folders)))
    out = console()
    head, rows = compared(groups)
    if sum(widths_of(head, rows)) <= out.width - 2:
        out.print(make_table("runs", head, rows))
    else:
        print_lines(["runs", *(f"  {number}  {row[0]}" for number, row in enumerate(rows, 1))])
        for table in transposed(head, rows, out.width - 2):
            out.print(table)
    if plot is not None:
        plot_compare(labelled(groups), plot)
        print_lines([f"plot: {plot}"])


def names_of(folders: Sequence[str | Path]) -> list[str]:
    """The last part of each path; where two are the same, all that differs."""
    paths = [Path(folder).resolve() for folder in folders]
    names = [path.name or str(path) for path in paths]
    if len({*names}) == len({*paths}):
        return names
    common = Path(os.path.commonpath([path.parent for path in paths]))
    return [str(path.relative_to(common)) for path in paths]


def read_group(folder: str | Path) -> list[Run]:
    """The run in a folder, or those of the seeds in it; SpecError where they differ in more."""
    seeds = [path for path in sorted(Path(folder).glob("seed-*")) if RunFolder(path).holds_run()]
    if not seeds or RunFolder(Path(folder)).holds_run():
        return [read_run(folder)]
    runs = [read_run(seed) for seed in seeds]
    for run in runs:
        if run.spec | {"seed": 0} != runs[0].spec | {"seed": 0}:
            raise SpecError(f"{folder} holds runs of several specs; give them one by one")
    return runs


def labelled(groups: Mapping[str, Sequence[Run]]) -> dict[str, Run]:
    """Every run by a name of its own."""
    return {
        name if len(runs) == 1 else f"{name}/{run.folder.name}": run
        for name, runs in groups.items()
        for run in runs
    }


def over_seeds(runs: Sequence[Run], key: str) -> Any:
    """A number of the finished runs: itself, or mean ± sample standard deviation of several."""
    values = [run.summary[key] for run in runs if run.summary.get(key) is not None]
    if len({*values}) <= 1:
        return values[0] if values else None
    return f"{spelled(statistics.fmean(values))} ± {spread(values):.2g}"


def spread(values: Sequence[float]) -> float:
    """Sample standard deviation; NaN where a value is infinite or NaN."""
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def finished(runs: Sequence[Run]) -> str:
    """How many runs a row is of, and how many there are if some are not done."""
    done = sum(1 for run in runs if run.summary)
    return str(done) if done == len(runs) else f"{done} of {len(runs)}"


def compared(groups: Mapping[str, Sequence[Run]]) -> tuple[list[str], list[list[Any]]]:
    """Heads and one row for each: its name, what differs in the specs, then what came out."""
    first = [runs[0] for runs in groups.values()]
    several = ["seeds"] if any(len(runs) > 1 for runs in groups.values()) else []
    left_out = {"published", "seed"} if several else {"published"}
    specs = [flat({k: v for k, v in run.spec.items() if k not in left_out}) for run in first]
    keys = list(dict.fromkeys(key for spec in specs for key in spec))
    differing = [key for key in keys if len({repr(spec.get(key)) for spec in specs}) > 1]
    measured = [*outcomes(groups), "density", "kept", "flops.effective", "seconds"]
    paper = ["published"] if any(run.published for run in first) else []
    rows = [
        [name]
        + [spec.get(key) for key in differing]
        + [finished(runs) for _ in several]
        + [over_seeds(runs, key) for key in measured]
        + [papers.short(runs[0].published) for _ in paper]
        for (name, runs), spec in zip(groups.items(), specs)
    ]
    return ["run", *differing, *several, *measured, *paper], rows


def outcomes(groups: Mapping[str, Sequence[Run]]) -> list[str]:
    """What of the test set is compared: the accuracy; the loss where a finished run has none."""
    done = [run.summary for runs in groups.values() for run in runs if run.summary]
    known = ["test.accuracy" in summary for summary in done]
    return ["test.accuracy"] * (any(known) or not known) + ["test.loss"] * (not all(known))


def transposed(head: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> list[Table]:
    """Tables with one column a run, numbered from 1, as many side by side as fit `width`."""
    labels = list(head[1:])
    columns = [[str(number), *row[1:]] for number, row in enumerate(rows, 1)]
    wide = [max(len(spelled(cell)) for cell in column) + 3 for column in columns]
    across = max(1, (width - max(map(len, labels)) - 3) // max(wide))
    return [
        make_table(
            "", ["", *(column[0] for column in group)], list(zip(labels, *(c[1:] for c in group)))
        )
        for group in (columns[at : at + across] for at in range(0, len(columns), across))
    ]
