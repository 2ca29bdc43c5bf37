"""Tables that a reader sorts and filters: what stands in a cell, and what it is sorted by."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs

from prunekit.reports.report import spelled

CHOICES = 12
"""A label of so many values at most is filtered by choosing one."""


@attrs.frozen
class Cell:
    """A text, the number that it is sorted by, and the id in the page that it leads to."""

    text: str
    value: float | None = None
    style: str = ""
    link: str = ""
    number: bool = False
    empty: bool = False


@attrs.frozen
class Head:
    text: str
    number_of: int
    number: bool
    choices: list[str]
    says: str


@attrs.frozen
class Table:
    heads: list[Head]
    rows: list[list[Cell]]
    note: str = ""


def cell(value: Any, text: str | None = None, **more: Any) -> Cell:
    """A cell of a value; of a finite number, one that is sorted by it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    known = number and math.isfinite(value)
    said = spelled(value) if text is None else text
    return Cell(said, float(value) if known else None, number=number, empty=value is None, **more)


def table(
    heads: Sequence[str],
    rows: Sequence[list[Cell]],
    note: str,
    says: Mapping[str, str],
    labels: Collection[str],
) -> Table:
    """A table of these columns.

    says: head -> what a reader sees who points at it. labels: the heads of columns that name a
    line; those with few values are filtered by choosing one.
    """
    made = []
    for number, text in enumerate(heads):
        column = [row[number] for row in rows]
        texts = list(dict.fromkeys(one.text for one in column))
        few = text in labels and 1 < len(texts) <= CHOICES
        numbers = any(one.number for one in column)
        made.append(Head(text, number, numbers, texts if few else [], says.get(text, "")))
    return Table(made, list(rows), note)
