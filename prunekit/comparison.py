"""Runs side by side: a table of what differs and what came out, and one plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunekit import papers
from prunekit.plots import plot_compare
from prunekit.report import Run, console, make_table, print_lines, read_run, spelled, widths_of
from prunekit.spec import COMPONENTS

if TYPE_CHECKING:
    from rich.table import Table


def compare(folders: Sequence[str | Path], plot: str | Path | None = None) -> None:
    """Print runs side by side, with the keys in which their specs differ; overlay their curves."""
    if plot is not None:
        from prunekit.runfolder import refuse_kept  # comes with torch, as writing the plot does

        refuse_kept(plot)
    runs = [read_run(folder) for folder in folders]
    out = console()
    head, rows = compared(runs)
    if sum(widths_of(head, rows)) <= out.width - 2:
        out.print(make_table("runs", head, rows))
    else:
        print_lines(["runs", *(f"  {number}  {row[0]}" for number, row in enumerate(rows, 1))])
        for table in turned(head, rows, out.width - 2):
            out.print(table)
    if plot is not None:
        plot_compare(runs, plot)
        print_lines([f"plot: {plot}"])


def compared(runs: Sequence[Run]) -> tuple[list[str], list[list[Any]]]:
    """Heads and one row a run: its name, what differs in the specs, then what came out."""
    specs = [flat({k: v for k, v in run.spec.items() if k != "published"}) for run in runs]
    keys = list(dict.fromkeys(key for spec in specs for key in spec))
    differing = [key for key in keys if len({repr(spec.get(key)) for spec in specs}) > 1]
    found = ["test.accuracy", "density", "kept", "flops.effective", "seconds"]
    paper = ["published"] if any(run.published for run in runs) else []
    rows = [
        [run.folder.name or str(run.folder)]
        + [spec.get(key) for key in differing]
        + [run.summary.get(key) for key in found]
        + [papers.short(run.published) for _ in paper]
        for run, spec in zip(runs, specs)
    ]
    return ["run", *differing, *found, *paper], rows


def turned(head: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> list[Table]:
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


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value; a component's name stands under its kind alone."""
    keys: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            keys |= flat(value, f"{prefix}{key}.")
        else:
            named = key == "name" and prefix.rstrip(".") in COMPONENTS
            keys[prefix.rstrip(".") if named else prefix + key] = value
    return keys
