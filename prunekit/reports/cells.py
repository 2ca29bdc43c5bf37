"""Runs that differ only in their seed as one cell: mean, spread, how many, how many failed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from prunekit.errors import SpecError, did_you_mean
from prunekit.reports.labels import same, spelling, spellings
from prunekit.reports.tidy import Row
from prunekit.spec.sections import COMPONENTS

ACROSS = "prune.density"
"""The key that is the columns of a table and the axis of a figure, where it varies."""
BEST: Mapping[str, Any] = {"accuracy": max, "loss": min}
"""Last word of a metric's name -> which value is the best; of other metrics none is."""


@attrs.frozen
class Stat:
    """Numbers of some runs. of: how many runs there are; failed: how many of them failed."""

    values: tuple[float, ...]
    of: int
    failed: int = 0

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """None where there is no number; one that all share is itself."""
        if len({*self.values}) == 1:
            return self.values[0]
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation (n - 1); None of fewer than two, NaN where one is no number."""
        if self.n < 2:
            return None
        finite = all(map(math.isfinite, self.values))
        return statistics.stdev(self.values) if finite else math.nan

    @property
    def least(self) -> float | None:
        """None where there is no number; NaN where one is none."""
        return math.nan if any(map(math.isnan, self.values)) else min(self.values, default=None)


@attrs.frozen
class Cell:
    """One place of a table.

    key: what its runs have in common. published: source, metric, mean, std, n of a paper, empty
    where it has no figure of this metric, or several. minus: the metric less that of the run with
    the same seed under a control; None where that is not asked for. words: the key's values.
    """

    key: Mapping[str, Any]
    rows: tuple[Row, ...]
    measured: Stat
    published: Mapping[str, Any]
    minus: Stat | None = None
    words: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def deviation(self) -> float | None:
        """Measured less published, in published standard deviations; None without these."""
        paper, mean = self.published.get("std"), self.measured.mean
        return (mean - self.published["mean"]) / paper if paper and mean is not None else None


Condition = tuple[str, str]
"""A key and the text of a value: prune.control, shuffle."""


def cells(
    rows: Sequence[Row], metric: str, by: Sequence[str], minus: Condition | None = None
) -> list[Cell]:
    """The cells of a metric, runs grouped by the values of the keys `by`, as they come.

    minus: runs that meet it are no cells; their metric is subtracted from that of the run that
    differs from them in nothing else. A time is of warm processes alone where there are any.
    """
    own, partners = rows, dict[Any, Row]()
    if minus is not None:
        own = [row for row in rows if not meets(row, minus)]
        partners = {_but_for(minus[0], row): row for row in rows if meets(row, minus)}
    groups, words = dict[Any, list[Row]](), dict(zip(map(id, rows), words_of(rows, by)))
    for row in comparable(own, metric):
        groups.setdefault(tuple(words[id(row)].values()), []).append(row)
    return [
        Cell(
            {key: group[0].cell[key] for key in by if key in group[0].cell},
            tuple(group),
            stat_of(group, metric),
            figure_of(group, metric),
            minus and _less(group, partners, minus[0], metric),
            words[id(group[0])],
        )
        for group in groups.values()
    ]


def words_of(rows: Sequence[Row], keys: Iterable[str]) -> list[dict[str, str]]:
    """Of each row the values of keys in words: one word for what is the same, and only for that."""
    known = {key: spellings(row.cell.get(key) for row in rows) for key in keys}
    return [{key: told[same(row.cell.get(key))] for key, told in known.items()} for row in rows]


def comparable(rows: Sequence[Row], metric: str) -> list[Row]:
    """The rows whose metric may be compared: a first run's `seconds` hold what a process loads."""
    if is_time(metric) and any(row.warm for row in rows):
        return [row for row in rows if row.warm or row.state != "done"]
    return list(rows)


def is_time(metric: str) -> bool:
    return metric.endswith("seconds")


def stat_of(rows: Sequence[Row], metric: str) -> Stat:
    """The metric of those that are done; all are counted."""
    values = tuple(row.metrics[metric] for row in rows if metric in row.metrics)
    return Stat(values, len(rows), sum(row.state == "failed" for row in rows))


def figure_of(rows: Sequence[Row], metric: str) -> Mapping[str, Any]:
    """What a paper reports of this metric, if all rows have the same figure of it."""
    found = [row.published for row in rows]
    own = has_figure(rows[0], metric)
    return found[0] if own and all(one == found[0] for one in found) else {}


def has_figure(row: Row, metric: str) -> bool:
    return "mean" in row.published and row.published.get("metric", metric) == metric


def _less(rows: Sequence[Row], partners: Mapping[Any, Row], key: str, metric: str) -> Stat:
    """Differences of runs of one seed; a failed partner counts as failed."""
    pairs = [(row, partners.get(_but_for(key, row))) for row in rows]
    known = [(row, other) for row, other in pairs if other is not None]
    values = tuple(
        row.metrics[metric] - other.metrics[metric]
        for row, other in known
        if metric in row.metrics and metric in other.metrics
    )
    failed = sum("failed" in (row.state, other.state) for row, other in known)
    return Stat(values, len(known), failed)


def _but_for(key: str, row: Row) -> tuple[Any, ...]:
    """What a row shares with those that differ from it in `key` alone."""
    others = ((name, same(value)) for name, value in row.cell.items() if name != key)
    return (*sorted(others), row.seed)


def meets(row: Row, condition: Condition) -> bool:
    key, wanted = condition
    return key in row.cell and spelling(row.cell[key]) == wanted


def narrowed(rows: Sequence[Row], only: Sequence[Condition]) -> list[Row]:
    """The rows that meet all conditions, each a key and its values with commas between.

    SpecError for a key or a value that none has.
    """
    left = list(rows)
    for key, values in only:
        key = known_key(rows, key)
        having = [row for row in rows if key in row.cell]
        words = {id(row): told[key] for row, told in zip(having, words_of(having, [key]))}
        offered = dict.fromkeys(words.values())
        wanted = [values] if values in offered else [one.strip() for one in values.split(",")]
        for value in wanted:
            if value not in offered:
                hint = did_you_mean(value, offered) or f" On offer: {', '.join(offered)}."
                raise SpecError(f"no run has {key} = {value!r}.{hint}")
        left = [row for row in left if words.get(id(row)) in wanted]
    if not left:
        raise SpecError("no run meets all of --only")
    return left


def within_best(stats: Iterable[Stat], metric: str) -> set[int]:
    """The places of the best mean and of those within one of its standard deviations."""
    known = {place: s for place, s in enumerate(stats) if s.n and math.isfinite(s.mean or 0)}
    best = BEST.get(metric.rpartition(".")[2])
    if best is None or len(known) < 2:
        return set()
    top = best(known.values(), key=lambda stat: stat.mean)
    reach = top.std or 0.0
    return {place for place, stat in known.items() if abs(stat.mean - top.mean) <= reach}


def varying(rows: Sequence[Row]) -> list[str]:
    """The keys of the cells in which rows differ, in the order that the cells have."""
    keys = dict.fromkeys(key for row in rows for key in row.cell)
    return [key for key in keys if len({same(row.cell.get(key)) for row in rows}) > 1]


def naming(rows: Sequence[Row]) -> list[str]:
    """The varying keys without those that follow from the components, as a scorer's rounds do.

    They follow where each combination of components has one value of them in several cells. The
    density always stays.
    """
    keys = varying(rows)
    kinds = [key for key in keys if key in COMPONENTS]
    cells = {tuple(same(row.cell.get(key)) for key in keys): row.cell for row in rows}
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for cell in cells.values():
        groups.setdefault(tuple(same(cell.get(key)) for key in kinds), []).append(cell)
    if not kinds or len(groups) == len(cells):
        return keys
    return [
        key
        for key in keys
        if key in (*kinds, ACROSS)
        or any(len({same(cell.get(key)) for cell in group}) > 1 for group in groups.values())
    ]


def chosen_metric(rows: Sequence[Row], asked: str | None) -> str:
    """The metric that is asked for, else the accuracy, else the loss of the test set.

    SpecError for one that no finished run has.
    """
    known = dict.fromkeys(metric for row in rows for metric in row.metrics)
    if asked is None:
        return next((m for m in ("test.accuracy", "test.loss") if m in known), "test.accuracy")
    if asked not in known:
        hint = did_you_mean(asked, known) or f" On offer: {', '.join(known) or 'none yet'}."
        raise SpecError(f"no finished run has a metric {asked!r}.{hint}")
    return asked


def known_key(rows: Sequence[Row], key: str) -> str:
    """A key of the cells, given in full or by its last part; SpecError for another."""
    known = dict.fromkeys(key for row in rows for key in row.cell)
    short = [one for one in known if one.rpartition(".")[2] == key]
    if key in known or len(short) == 1:
        return key if key in known else short[0]
    hint = did_you_mean(key, known) or f" On offer: {', '.join(known) or 'none'}."
    raise SpecError(f"{key!r} is no key in which these runs differ.{hint}")
