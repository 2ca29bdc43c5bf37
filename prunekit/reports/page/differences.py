"""In which keys the specs of runs differ, and which runs have which value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prunekit.reports.page.origins import Fact, Value
from prunekit.reports.page.words import some
from prunekit.reports.report import spelled
from prunekit.reports.varied import NEVER, flat

NAMED = 4
"""Rows that are named for a value; of more their count is told."""


def differences(specs: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Fact]:
    """(name of a row, spec) of each run -> keys with their values, in the order of the specs.

    A run whose spec lacks a key has the value "-" there. Seeds are no difference.
    """
    flats = [
        (name, flat({key: value for key, value in spec.items() if key not in NEVER}))
        for name, spec in specs
    ]
    keys = dict.fromkeys(key for _, one in flats for key in one)
    facts = [Fact(key, _values([(name, one.get(key)) for name, one in flats])) for key in keys]
    return [fact for fact in facts if len(fact.values) > 1]


def _values(pairs: Sequence[tuple[str, Any]]) -> tuple[Value, ...]:
    """The values that occur, and who has them."""
    having: dict[str, list[str]] = {}
    for name, value in pairs:
        having.setdefault(_exactly(value), []).append(name)
    return tuple(
        Value(text, len(names), some([*dict.fromkeys(names)], NAMED, "; "))
        for text, names in having.items()
    )


def _exactly(value: Any) -> str:
    """A value in full: two that differ in the last digit are two."""
    return repr(value) if isinstance(value, float) else spelled(value)
