"""The tables of a page: cells over seeds, and single runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from prunekit.reports.cells import Cell, cells, chosen_metric, is_time, stat_of, varying, words_of
from prunekit.reports.layout import least, paper, sigmas, stated
from prunekit.reports.page import tables
from prunekit.reports.page.alerts import CHANGED
from prunekit.reports.page.controls import CONTROL, PLAIN, controls_of
from prunekit.reports.page.tables import cell
from prunekit.reports.page.trials import Trial
from prunekit.reports.rounding import lone
from prunekit.reports.tidy import Row

BESIDE = ("test.loss", "density", "empty", "dead", "flops.effective")
"""Metrics beside the main one, where any run has them."""
SAYS = {
    "n": "finished runs, of how many there are",
    "difference": "measured less published, in published standard deviations",
    "empty": "layers that keep no weight",
    "dead": "kept weights through which nothing flows from input to output",
    "flops.effective": "floating-point operations of one example that pruning leaves",
    "seconds": "° = of the first run of a process, which also loads libraries: not comparable",
}
NOTE = (
    "Each line is one combination of what varies: mean ± sample standard deviation (n - 1) over "
    "its finished runs. Click a head to sort by it."
)


def cell_table(rows: Sequence[Row]) -> tables.Table:
    """A line for each combination of what varies, the seed left out."""
    metric, keys = chosen_metric(rows, None), varying(rows)
    found = cells(rows, metric, keys)
    columns = dict(_columns(rows, found, metric, keys))
    lines = [[say(one) for say in columns.values()] for one in found]
    return tables.table(list(columns), lines, NOTE, SAYS, keys)


def _columns(
    rows: Sequence[Row], found: Sequence[Cell], metric: str, keys: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    """(head, what it says of a cell) of each column."""
    usual = max((one.measured.of for one in found), default=0)
    for key in keys:
        yield key, lambda one, key=key: cell(one.key.get(key), one.words[key])
    yield "n", _count
    yield metric, lambda one: _stat(one, metric, usual)
    if usual > 1:
        yield f"min {metric}", lambda one: cell(one.measured.least, least(one.measured))
    if any(one.published for one in found):
        yield "published", lambda one: cell(one.published.get("mean"), paper(one))
        yield "difference", lambda one: cell(one.deviation, sigmas(one))
    for control in controls_of(rows) if CONTROL in keys else []:
        less = {
            _place(one, keys): one.minus for one in cells(rows, metric, keys, (CONTROL, control))
        }
        yield f"minus {control}", lambda one, less=less: _less(one, less.get(_place(one, keys)))
    for other in BESIDE:
        if other != metric and any(other in row.metrics for row in rows):
            yield other, lambda one, other=other: _stat(one, other, usual)


def _place(one: Cell, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(one.words[key] for key in keys)


def _count(one: Cell) -> tables.Cell:
    """How many runs are finished, in words where some are not."""
    stat = one.measured
    done = sum(row.state == "done" for row in one.rows)
    failed = f", {stat.failed} failed" if stat.failed else ""
    text = f"{done}" if done == stat.of else f"{done} of {stat.of}{failed}"
    return cell(done, text, style="bad" if stat.failed else "")


def _less(one: Cell, stat: Any) -> tables.Cell:
    """A difference from a control; none for the runs of a control."""
    if one.words.get(CONTROL) != PLAIN or stat is None:
        return cell(None)
    return cell(stat.mean, stated(stat, stat.of))


def _stat(one: Cell, metric: str, usual: int) -> tables.Cell:
    """Another metric; how many runs it is of is said where that differs from the column n."""
    stat = stat_of(one.rows, metric)
    if stat.std == 0:  # a count that all runs share
        return cell(stat.mean, lone(stat.values[0]))
    if stat.n == one.measured.n:
        return cell(stat.mean, stated(attrs.evolve(stat, of=stat.n, failed=0), stat.n))
    return cell(stat.mean, stated(stat, usual))


def run_table(trials: Sequence[Trial]) -> tables.Table:
    """A line for each run; its number leads to its layers."""
    rows = [trial.row for trial in trials]
    metric, keys = chosen_metric(rows, None), varying(rows)
    several = len({row.seed for row in rows}) > 1
    wanted = dict.fromkeys((metric, *BESIDE, "seconds"))
    shown = [one for one in wanted if any(one in row.metrics for row in rows)]
    heads = ["run", *keys, *["seed"] * several, "state", *shown, "folder"]
    lines = [
        [
            cell(trial.number, link=trial.id),
            *(cell(trial.row.cell.get(key), told[key]) for key in keys),
            *[cell(trial.row.seed, str(trial.row.seed))] * several,
            _state(trial),
            *(_measured(trial.row, one) for one in shown),
            cell("/".join(trial.row.folder.parts[-2:])),
        ]
        for trial, told in zip(trials, words_of(rows, keys))
    ]
    return tables.table(
        heads, lines, "A run's number leads to its layers.", SAYS, (*keys, "seed", "state")
    )


def _state(trial: Trial) -> tables.Cell:
    row = trial.row
    text = f"failed ({row.code})" if row.state == "failed" else row.state
    return cell(text + CHANGED * bool(trial.changed), style="bad" if row.state == "failed" else "")


def _measured(row: Row, metric: str) -> tables.Cell:
    found = row.metrics.get(metric)
    if found is None:
        return cell(None)
    cold = is_time(metric) and row.warm is False
    return cell(found, lone(found) + "°" * cold)
