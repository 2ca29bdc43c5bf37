"""Cells laid out as a table of texts, before any format: rows, columns, notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from prunekit.reports import papers
from prunekit.reports.cells import ACROSS, Cell, Stat, cells, within_best
from prunekit.reports.notes import BOLD, notes
from prunekit.reports.question import Question
from prunekit.reports.rounding import rounded
from prunekit.reports.tidy import Row

NONE = "-"


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
    if any(entry.bold for line in body for entry in line):
        told = (*told, BOLD)
    return Layout(asked.metric, across, head, labels, tuple(body), told)


Line = dict[str, Cell]
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
        extra += [(asked.minus_name, lambda cell: stated(cell.minus, usual))]
    best = _best(found, str(asked.metric), ACROSS)
    body = [
        (
            *(Entry(cell.words[key]) for key in asked.by),
            *(Entry(say(cell), id(cell) in best and not at) for at, (_, say) in enumerate(extra)),
        )
        for cell in found
    ]
    return (*asked.by, *(name for name, _ in extra)), len(asked.by), body


def _best(found: Sequence[Cell], metric: str, key: str) -> set[int]:
    """The ids of the best cells, and of those within one deviation, of each value of a key."""
    groups: dict[str, list[Cell]] = {}
    for cell in found:
        groups.setdefault(cell.words.get(key, NONE), []).append(cell)
    return {
        id(group[place])
        for group in groups.values()
        for place in within_best([cell.measured for cell in group], metric)
    }


def _wide(found: Sequence[Cell], asked: Question, usual: int) -> Lines:
    """A line for each combination of labels, a column for each value of `across`.

    What a paper reports, and a difference, stand in lines below. A cell without the key `across`,
    as a dense baseline is, spans all columns.
    """
    across = str(asked.across)
    values = list(dict.fromkeys(c.words[across] for c in found if across in c.key))
    grid: dict[tuple[str, ...], Line] = {}
    for cell in found:
        labels = tuple(cell.words[key] for key in asked.by)
        grid.setdefault(labels, {})[cell.words[across] if across in cell.key else ""] = cell
    best = _best(found, str(asked.metric), across)
    body: list[tuple[Entry, ...]] = []
    for labels, line in grid.items():
        for name, say in _sayings(line.values(), asked, usual):
            shown = tuple(map(Entry, labels)) if name is None else _below(name, len(labels))
            if "" in line:
                body.append((*shown, Entry(say(line[""]), span=len(values))))
            if len(line) > ("" in line):
                entries = [
                    Entry(say(line[v]), name is None and id(line[v]) in best)
                    if v in line
                    else Entry(NONE)
                    for v in values
                ]
                body.append((*shown, *entries))
    return (*asked.by, *values), len(asked.by), body


def _sayings(line: Iterable[Cell], asked: Question, usual: int) -> list[tuple[str | None, Any]]:
    """What is said of a line of cells: its numbers (no name), then each line below by its name."""
    said: list[tuple[str | None, Any]] = [(None, lambda cell: stated(cell.measured, usual))]
    if any(cell.published for cell in line):
        said += [("published", paper), ("difference", sigmas)]
    if asked.minus:
        said.append((asked.minus_name, lambda cell: stated(cell.minus, usual)))
    return said


def _below(name: str, labels: int) -> tuple[Entry, ...]:
    return (Entry(f"  {name}"), *[Entry("")] * (labels - 1))


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
