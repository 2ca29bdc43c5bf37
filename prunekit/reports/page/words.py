"""Counts and lists in words."""

from __future__ import annotations

from collections.abc import Sequence


def some(names: Sequence[str], most: int = 8, separator: str = ", ") -> str:
    """The first of some names, and how many more there are."""
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return separator.join([*names[:most], *more])


def runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
