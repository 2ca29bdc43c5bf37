"""Methods beside their controls: which are no better than a mask that knows less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prunekit.reports.cells import Cell, cells, chosen_metric, varying
from prunekit.reports.labels import spelling
from prunekit.reports.layout import stated
from prunekit.reports.tidy import Row

CONTROL = "prune.control"
PLAIN = "none"


def controls_of(rows: Sequence[Row]) -> list[str]:
    """The controls that some of the runs are of."""
    found = dict.fromkeys(spelling(row.cell.get(CONTROL)) for row in rows)
    return [text for text in found if text not in (PLAIN, "-")]


def beaten_by_none(rows: Sequence[Row]) -> list[str]:
    """A line for each method that is not better than a control by more than both deviations.

    Asked of those of which both have several finished runs.
    """
    metric, keys = chosen_metric(rows, None), varying(rows)
    if CONTROL not in keys:
        return []
    found = cells(rows, metric, keys)
    return [
        f"{_name(one, keys) or 'the method'}: {metric} {_measured(one)}, "
        f"under {other.words[CONTROL]} {_measured(other)}"
        for one, other in _pairs(found, keys)
        if not _better(one, other, metric)
    ]


def _name(one: Cell, keys: Sequence[str]) -> str:
    return ", ".join(one.words[key] for key in keys if key in one.key and key != CONTROL)


def _measured(one: Cell) -> str:
    return stated(one.measured, one.measured.of)


def _pairs(found: Sequence[Cell], keys: Sequence[str]) -> Iterator[tuple[Cell, Cell]]:
    """Each cell without a control, with those under one that differ in nothing else."""

    def place(one: Cell) -> tuple[str, ...]:
        return tuple(one.words[key] for key in keys if key != CONTROL)

    plain = {place(one): one for one in found if one.words[CONTROL] == PLAIN}
    for other in found:
        if other.words[CONTROL] not in (PLAIN, "-") and place(other) in plain:
            yield plain[place(other)], other


def _better(one: Cell, other: Cell, metric: str) -> bool:
    """Whether the mean is better by more than both deviations; True where that is not known."""
    mine, theirs = one.measured, other.measured
    if mine.std is None or theirs.std is None or mine.mean is None or theirs.mean is None:
        return True
    sign = -1 if metric.endswith("loss") else 1
    return sign * (mine.mean - theirs.mean) > mine.std + theirs.std
