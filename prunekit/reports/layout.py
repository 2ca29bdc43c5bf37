"""Cells laid out as a table of texts, before any format: rows, columns, notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from prunekit.errors import SpecError
from prunekit.reports import papers
from prunekit.reports.cells import (
    BEST,
    Cell,
    Condition,
    Stat,
    cells,
    chosen_metric,
    comparable,
    known_key,
    meets,
    spelling,
    varying,
    within_best,
)
from prunekit.reports.rounding import rounded
from prunekit.reports.tidy import Row

ACROSS = "prune.density"
"""The key whose values are the columns, where it varies."""
NONE = "-"
MOST_NAMED = 20
"""Failed runs that are named below a table."""


@attrs.frozen
class Entry:
    """A text in a table. span: columns that it stands for."""

    text: str
    bold: bool = False
    span: int = 1


@attrs.frozen
class Layout:
    """A table of texts.

    title: the metric. across: the key whose values are the columns; "" where there is none.
    labels: how many first columns name the row.
    """

    title: str
    across: str
    head: tuple[str, ...]
    labels: int
    lines: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...]


@attrs.frozen
class Question:
    """What a table is asked to show.

    metric: None = the accuracy of the test set, or its loss. by: keys that name the lines; empty =
    all that vary. across: the key whose values are columns; None = the density where it varies,
    "none" = no such key. minus: runs to subtract.
    """

    metric: str | None = None
    by: tuple[str, ...] = ()
    across: str | None = None
    minus: Condition | None = None

    def known(self, rows: Sequence[Row]) -> Question:
        """The question in full; SpecError for a key, value or metric that these runs lack."""
        metric = chosen_metric(rows, self.metric)
        minus = self.minus and (known_key(rows, self.minus[0]), self.minus[1])
        if minus is not None and not any(meets(row, minus) for row in rows):
            values = dict.fromkeys(spelling(r.cell[minus[0]]) for r in rows if minus[0] in r.cell)
            raise SpecError(
                f"no run has {minus[0]} = {minus[1]!r}, to be subtracted; on offer: "
                f"{', '.join(values)}"
            )
        left = [row for row in rows if minus is None or not meets(row, minus)]
        if not left:
            raise SpecError(f"all runs have {minus[0]} = {minus[1]!r}: nothing is left")  # type: ignore[index]
        by = tuple(dict.fromkeys(known_key(rows, key) for key in self.by))
        varied = by or tuple(varying(left))
        across: str | None = "none"
        if self.across is None:
            wide = ACROSS in varying(left) and ACROSS not in by and len({*varied} - {ACROSS}) > 0
            across = ACROSS if wide else "none"
        elif self.across != "none":
            across = known_key(rows, self.across)
        by = tuple(key for key in varied if key != across)
        return Question(metric, by, across, minus)


def laid_out(rows: Sequence[Row], question: Question) -> Layout:
    """The table of what is asked; SpecError where that cannot be shown of these rows."""
    asked = question.known(rows)
    assert asked.metric
    assert asked.across
    keys = (*asked.by, *([asked.across] if asked.across != "none" else []))
    found = cells(rows, asked.metric, keys, asked.minus)
    usual = _usual(found)
    lines = _plain(found, asked, usual) if asked.across == "none" else _wide(found, asked, usual)
    head, labels, body = lines
    across = asked.across if asked.across != "none" else ""
    told = tuple(notes(rows, found, asked, usual))
    return Layout(asked.metric, across, head, labels, tuple(body), told)


Lines = tuple[tuple[str, ...], int, list[tuple[Entry, ...]]]


def _usual(found: Sequence[Cell]) -> int:
    """The number of runs that most cells have."""
    counts = Counter(cell.measured.of for cell in found)
    return counts.most_common(1)[0][0] if counts else 0


def _plain(found: Sequence[Cell], asked: Question, usual: int) -> Lines:
    """A line for each cell; what a paper reports, and a difference, are columns."""
    extra: list[tuple[str, Any]] = [(str(asked.metric), lambda cell: stated(cell.measured, usual))]
    if usual > 1:
        extra.append(("min", lambda cell: least(cell.measured)))
    if any(cell.published for cell in found):
        extra += [("published", paper), ("difference", sigmas)]
    if asked.minus:
        extra += [(_minus(asked), lambda cell: stated(cell.minus, usual))]
    best = within_best([cell.measured for cell in found], str(asked.metric))
    body = [
        (
            *(Entry(spelling(cell.key.get(key))) for key in asked.by),
            *(Entry(say(cell), number in best and not at) for at, (_, say) in enumerate(extra)),
        )
        for number, cell in enumerate(found)
    ]
    return (*asked.by, *(name for name, _ in extra)), len(asked.by), body


def _wide(found: Sequence[Cell], asked: Question, usual: int) -> Lines:
    """A line for each combination of labels, a column for each value of `across`.

    What a paper reports, and a difference, stand in lines below. A cell without the key `across`,
    as a dense baseline is, spans all columns.
    """
    across = str(asked.across)
    values = list(dict.fromkeys(spelling(c.key[across]) for c in found if across in c.key))
    grid: dict[tuple[str, ...], dict[str, Cell]] = {}
    for cell in found:
        labels = tuple(spelling(cell.key.get(key)) for key in asked.by)
        grid.setdefault(labels, {})[spelling(cell.key[across]) if across in cell.key else ""] = cell
    best = {
        (labels, value)
        for value in values
        for labels in _best_labels(grid, value, str(asked.metric))
    }
    body: list[tuple[Entry, ...]] = []
    for labels, line in grid.items():
        for name, say in _sayings(line.values(), asked, usual):
            shown = tuple(map(Entry, labels)) if name is None else _below(name, len(labels))
            if "" in line:
                body.append((*shown, Entry(say(line[""]), span=len(values))))
            if len(line) > ("" in line):
                entries = [
                    Entry(say(line[v]), name is None and (labels, v) in best)
                    if v in line
                    else Entry(NONE)
                    for v in values
                ]
                body.append((*shown, *entries))
    return (*asked.by, *values), len(asked.by), body


def _best_labels(
    grid: dict[tuple[str, ...], dict[str, Cell]], value: str, metric: str
) -> list[tuple[str, ...]]:
    """The labels of the lines that are best, or nearly so, in one column."""
    column = [(labels, line[value]) for labels, line in grid.items() if value in line]
    best = within_best([cell.measured for _, cell in column], metric)
    return [labels for place, (labels, _) in enumerate(column) if place in best]


def _sayings(line: Iterable[Cell], asked: Question, usual: int) -> list[tuple[str | None, Any]]:
    """What is said of a line of cells: its numbers (no name), then each line below by its name."""
    said: list[tuple[str | None, Any]] = [(None, lambda cell: stated(cell.measured, usual))]
    if any(cell.published for cell in line):
        said += [("published", paper), ("difference", sigmas)]
    if asked.minus:
        said.append((_minus(asked), lambda cell: stated(cell.minus, usual)))
    return said


def _below(name: str, labels: int) -> tuple[Entry, ...]:
    return (Entry(f"  {name}"), *[Entry("")] * (labels - 1))


def _minus(asked: Question) -> str:
    assert asked.minus
    return f"minus {asked.minus[0]}={asked.minus[1]}"


def stated(stat: Stat | None, usual: int) -> str:
    """A mean ± its standard deviation, and of how many runs it is where that is not `usual`."""
    if stat is None or not stat.of:
        return NONE
    failed = f"{stat.failed} failed" if stat.failed else ""
    if stat.mean is None:
        return f"{NONE} ({failed})" if failed else NONE
    mean, std = rounded(stat.mean, stat.std)
    count = "" if stat.n == stat.of == usual else f"n = {stat.n}"
    if stat.n < stat.of:
        count = ", ".join(filter(None, [f"{stat.n} of {stat.of}", failed]))
    return mean + (f" ± {std}" if std is not None else "") + (f" ({count})" if count else "")


def least(stat: Stat) -> str:
    """The least of the numbers of a cell, to the place that its mean ends at."""
    return NONE if stat.least is None else rounded(stat.least, stat.std)[0]


def paper(cell: Cell) -> str:
    """What a paper reports for a cell, rounded as it reports it."""
    return papers.figure(cell.published) or NONE


def sigmas(cell: Cell) -> str:
    """How far the mean lies from a published one, in its standard deviations."""
    return NONE if cell.deviation is None else f"{cell.deviation:+.1f} σ"


def notes(rows: Sequence[Row], found: Sequence[Cell], asked: Question, usual: int) -> Iterable[str]:
    """What a reader must know of the numbers: n, rounding, what is missing, what is mixed."""
    metric = str(asked.metric)
    runs = f"n = {usual} runs" if usual != 1 else "n = 1 run"
    spread = "mean ± sample standard deviation (n - 1)" if usual > 1 else "single numbers"
    yield f"{metric}: {spread}, {runs} in a cell unless said"
    if metric.rpartition(".")[2] in BEST:
        yield "bold: the best of a column and what is within one of its standard deviations"
    if asked.minus:
        yield f"{_minus(asked)}: differences of runs with the same seed, their mean and deviation"
    if sources := dict.fromkeys(c.published.get("source", "") for c in found if c.published):
        yield f"published: {'; '.join(filter(None, sources)) or 'no source is named'}"
        yield "difference: measured less published, in published standard deviations σ"
    yield from _whole(rows, asked)
    yield from _mixed(rows, found, metric)
    yield from unfinished(rows)


def _whole(rows: Sequence[Row], asked: Question) -> Iterable[str]:
    """Keys that do not show: those of one value, and those whose runs are pooled."""
    shown, varied = {*asked.by, asked.across, asked.minus and asked.minus[0]}, varying(rows)
    keys = dict.fromkeys(key for row in rows for key in row.cell)
    same = [f"{k} = {spelling(rows[0].cell.get(k))}" for k in keys if k not in (*varied, *shown)]
    if same:
        yield f"everywhere: {', '.join(same)}"
    if pooled := [key for key in varied if key not in shown]:
        yield f"pooled over {', '.join(pooled)}"


def _mixed(rows: Sequence[Row], found: Sequence[Cell], metric: str) -> Iterable[str]:
    if cold := len(rows) - len(comparable(rows, metric)):
        yield f"{metric}: {cold} runs that were the first of their process are left out"
    for what in ("threads", "device"):
        values = dict.fromkeys(
            value for cell in found for row in cell.rows if (value := getattr(row, what))
        )
        if len(values) > 1:
            yield f"runs differ in {what} ({', '.join(map(str, values))}), which may change bits"


def unfinished(rows: Sequence[Row]) -> Iterable[str]:
    """How many runs are not done, and each that failed with its reason."""
    states = Counter(row.state for row in rows if row.state != "done")
    if not states:
        return
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    yield f"{sum(states.values())} of {len(rows)} runs are not done: {told}"
    failed = [row for row in rows if row.state == "failed"]
    for row in failed[:MOST_NAMED]:
        yield f"failed: {trial_name(row)}: exit code {row.code}: {row.reason}"
    if len(failed) > MOST_NAMED:
        yield f"... and {len(failed) - MOST_NAMED} more that failed"


def trial_name(row: Row) -> str:
    """A trial in words: what varied, and its seed."""
    values = [spelling(value) for value in row.cell.values() if value is not None]
    return ", ".join([*(values or [row.folder.name]), f"seed {row.seed}"])
