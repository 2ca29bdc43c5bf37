"""What a figure shows, as numbers: a metric against a key, an epoch or a layer, line by line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from prunekit.errors import SpecError, did_you_mean
from prunekit.reports.cells import (
    ACROSS,
    Cell,
    Stat,
    cells,
    chosen_metric,
    known_key,
    naming,
    varying,
    words_of,
)
from prunekit.reports.tidy import Row
from prunekit.storage.runfolder import RunFolder

EPOCH, LAYER, SCORE = "epoch", "layer", "score"
"""What stands for `x` where it is no key of the runs: curves, layers, and scores of weights."""
WIDE_RANGE = 20.0
"""Largest over smallest value above which an axis of numbers is a log axis; of densities always."""


@attrs.frozen
class Point:
    """x: a number, or the place of a name. published: a paper's figure there, or empty."""

    x: float
    stat: Stat
    published: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Series:
    """One line, by increasing x; a flat one holds for every x, as a dense baseline does."""

    label: str
    points: tuple[Point, ...]
    flat: bool = False


@attrs.frozen
class Chart:
    """Lines over one axis.

    names: of the places 0, 1, ... where x is no number. joined: whether neighbours are connected.
    log: a log axis. falling: the largest x stands on the left.
    """

    x: str
    y: str
    series: tuple[Series, ...]
    names: tuple[str, ...] = ()
    joined: bool = True
    log: bool = False
    falling: bool = False

    @property
    def counts(self) -> set[int]:
        """How many runs the points are of."""
        return {point.stat.n for one in self.series for point in one.points}


def chart(
    rows: Sequence[Row], x: str | None = None, y: str | None = None, by: Sequence[str] = ()
) -> Chart:
    """The figure of some runs; SpecError where they have no such key or metric, or no number yet.

    x: a key in which they differ, "epoch", "layer" or "score"; None = the density where it varies,
    else another key of numbers, else the epochs. y: a number of summary.json, of a line of metrics,
    or of layers.json; None = the accuracy, the loss where there is none, or a layer's density.
    by: keys that name the lines; runs that differ in others are one. None = all that vary.
    """
    x = x or default_x(rows)
    if any(x in row.cell for row in rows) or x not in (EPOCH, LAYER, SCORE):
        made = against(rows, known_key(rows, x), chosen_metric(rows, y), by)
    elif x == SCORE:
        made = scored(rows, y, by)
    else:
        made = along(rows, x, y, by)
    if not made.series:
        raise SpecError(f"there is nothing to draw: no run has a {made.y} yet")
    return made


def default_x(rows: Sequence[Row]) -> str:
    """The density where it varies, else the first key whose values are several numbers."""
    keys = varying(rows)
    numeric = [key for key in keys if all(is_number(v) for v in values_of(rows, key))]
    return next((key for key in (ACROSS, *numeric) if key in keys), EPOCH)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def values_of(rows: Sequence[Row], key: str) -> list[Any]:
    return [row.cell[key] for row in rows if row.cell.get(key) is not None]


def against(rows: Sequence[Row], x: str, y: str, by: Sequence[str]) -> Chart:
    """A metric of summary.json against a key of the runs."""
    by = line_keys(rows, by, x)
    told = zip(rows, words_of(rows, (x,)))
    values = list(dict.fromkeys(word[x] for row, word in told if row.cell.get(x) is not None))
    numeric = all(map(is_number, values_of(rows, x)))
    lines: dict[str, list[Cell]] = {}
    for cell in cells(rows, y, (*by, x)):
        if cell.measured.n:
            lines.setdefault(name_of(cell.key, by, cell.words), []).append(cell)

    def place(cell: Cell) -> float:
        value = cell.key.get(x)
        if value is None:
            return math.nan
        return float(value) if numeric else float(values.index(cell.words[x]))

    series = [
        Series(
            label,
            tuple(
                Point(place(cell), cell.measured, cell.published)
                for cell in sorted(line, key=place)
            ),
            flat=_is_baseline(line, x, several=len(lines) > 1),
        )
        for label, line in lines.items()
    ]
    density = x.rpartition(".")[2] == "density"
    numbers = sorted(p.x for one in series if not one.flat for p in one.points) if numeric else []
    wide = bool(numbers) and numbers[0] > 0 and numbers[-1] / numbers[0] >= WIDE_RANGE
    log = bool(numbers) and numbers[0] > 0 and (wide or density)
    names = () if numeric else tuple(values)
    return Chart(x, y, tuple(series), names, numeric, log, falling=density and numeric)


def _is_baseline(line: Sequence[Cell], x: str, several: bool) -> bool:
    """Whether a line holds for every x: its method sets x itself, or is dense."""
    if len(line) > 1:
        return False
    value = line[0].key.get(x)
    return value is None or (several and x.rpartition(".")[2] == "density" and value == 1)


def line_keys(rows: Sequence[Row], by: Sequence[str], x: str) -> tuple[str, ...]:
    """The keys that name the lines: those asked for, else all that vary, but for x."""
    keys = [known_key(rows, key) for key in by] or naming(rows)
    return tuple(key for key in keys if key != x)


def name_of(key: Mapping[str, Any], by: Sequence[str], told: Mapping[str, str]) -> str:
    """The name of a line: its values as `told`, the key with numbers; controls if any."""
    words = [
        f"{name.rpartition('.')[2]} {told[name]}" if is_number(key[name]) else told[name]
        for name in by
        if key.get(name) is not None and not (name == "prune.control" and key[name] == "none")
    ]
    return ", ".join(words)


def scored(rows: Sequence[Row], y: str | None, by: Sequence[str]) -> Chart:
    """Histograms of scores; SpecError where something else is asked for of them."""
    from prunekit.reports.scores import SHARE, by_score  # its arrays are needed here alone

    if y is not None:
        raise SpecError(f"--y {y} cannot act: of scores the {SHARE} is drawn; leave --y out")
    return by_score(rows, by)


def along(rows: Sequence[Row], x: str, y: str | None, by: Sequence[str]) -> Chart:
    """Numbers that each run has many of: along its epochs, or its layers."""
    read = _epochs if x == EPOCH else _layers
    keys, groups = line_keys(rows, by, ""), dict[str, list[Row]]()
    for row, words in zip(rows, words_of(rows, keys)):
        groups.setdefault(name_of(row.cell, keys, words), []).append(row)
    told = {label: _told(group, read) for label, group in groups.items()}
    known = dict.fromkeys(k for runs in told.values() for run in runs for one in run for k in one)
    y = _number_of(known, y, x)
    names: tuple[str, ...] = ()
    if x == LAYER:
        every = (one["name"] for runs in told.values() for run in runs for one in run)
        names = tuple(dict.fromkeys(every))
    series = [Series(label, _points(runs, y, names)) for label, runs in told.items()]
    return Chart(x, y, tuple(one for one in series if one.points), names)


def _told(
    group: Sequence[Row], read: Callable[[Row], list[dict[str, Any]]]
) -> list[list[dict[str, Any]]]:
    """What the finished runs of a line have; of none that is finished, what there is."""
    done = [row for row in group if row.state == "done"]
    begun = [row for row in group if row.state != "new" and RunFolder(row.folder).holds_run()]
    return [read(row) for row in done or begun]


def _epochs(row: Row) -> list[dict[str, Any]]:
    """Lines of metrics; epochs are counted through, since rounds that train begin at 1 again."""
    lines = [line for line in RunFolder(row.folder).lines() if line.get("kind") == "epoch"]
    return [{**line, EPOCH: number} for number, line in enumerate(lines, 1)]


def _layers(row: Row) -> list[dict[str, Any]]:
    run = RunFolder(row.folder)
    return run.read_layers() if row.state == "done" else []


def _number_of(known: Iterable[str], asked: str | None, x: str) -> str:
    """The number that is shown of each epoch or layer; SpecError for one that none has."""
    offered = list(known)
    first = ("density",) if x == LAYER else ("test.accuracy", "test.loss", "train.loss")
    if asked is None:
        return next((name for name in first if name in offered), first[0])
    if asked not in offered:
        hint = did_you_mean(asked, offered) or f" On offer: {', '.join(offered) or 'none yet'}."
        raise SpecError(f"no {x} of these runs has a {asked!r}.{hint}")
    return asked


def _points(
    runs: Sequence[Sequence[Mapping[str, Any]]], y: str, names: Sequence[str]
) -> tuple[Point, ...]:
    """Mean and spread over runs at each epoch, or at each of the named layers."""
    values: dict[float, list[float]] = {}
    places = {name: number for number, name in enumerate(names)}
    for run in runs:
        for one in run:
            x = places[one["name"]] if names else one[EPOCH]
            if is_number(one.get(y)):
                values.setdefault(float(x), []).append(one[y])
    return tuple(Point(x, Stat(tuple(found), len(runs))) for x, found in sorted(values.items()))
