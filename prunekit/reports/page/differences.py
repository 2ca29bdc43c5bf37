"""In which keys the specs of runs differ, and which runs have which value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prunekit.reports.page.origins import Fact, Value
from prunekit.reports.page.words import some
from prunekit.reports.report import spelled
from prunekit.reports.varied import NEVER, flat

NAMED = 6
"""Things that are named for a value; of more their count is told."""

Cell = Mapping[str, str]
"""What varied in a run, in words: key -> value."""


def differences(specs: Sequence[tuple[Cell, str, Mapping[str, Any]]]) -> list[Fact]:
    """(cell, name, spec) of each run -> keys with their values, in the order of the specs.

    Who has a value is told by the one key of the cells that decides it, if one does, else by the
    names. A run whose spec lacks a key has the value "-" there. Seeds are no difference.
    """
    flats = [flat({k: v for k, v in spec.items() if k not in NEVER}) for _, _, spec in specs]
    facts = []
    for key in dict.fromkeys(key for one in flats for key in one):
        texts = [_exactly(one.get(key)) for one in flats]
        if len({*texts}) > 1:
            facts.append(Fact(key, _values(texts, _who(key, [(c, n) for c, n, _ in specs], texts))))
    return facts


def _who(key: str, runs: Sequence[tuple[Cell, str]], texts: Sequence[str]) -> list[str]:
    """What tells of each run that it has its value; nothing where its cell has the key."""
    if key in runs[0][0]:
        return ["" if cell[key] != "-" else name for cell, name in runs]
    for axis in runs[0][0]:
        told = [cell.get(axis, "-") for cell, _ in runs]
        if len({*zip(told, texts)}) == len({*told}):
            return told
    return [name for _, name in runs]


def _values(texts: Sequence[str], who: Sequence[str]) -> tuple[Value, ...]:
    """The values that occur, and who has them."""
    having: dict[str, list[str]] = {}
    for text, name in zip(texts, who):
        having.setdefault(text, []).append(name)
    return tuple(
        Value(text, len(names), some([*dict.fromkeys(names)], NAMED, "; "))
        for text, names in having.items()
    )


def _exactly(value: Any) -> str:
    """A value in full: two that differ in the last digit are two."""
    return repr(value) if isinstance(value, float) else spelled(value)
