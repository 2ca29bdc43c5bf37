"""Values of cells in words, as tables and folders have them, and which of them are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def spelling(value: Any) -> str:
    """A value of a cell in a word: 0.1, true, snip, snip:rounds=2, 1+2; "-" for none.

    No comma is put in, which separates values on the command line.
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        options = [f"{key}={spelling(one)}" for key, one in value.items() if key != "name"]
        return ":".join([spelling(value.get("name", "")), *options]).lstrip(":")
    if isinstance(value, list | tuple):
        return "+".join(map(spelling, value)) or "-"
    return str(value)


def same(value: Any) -> str:
    """A text that values share only if they are the same, as 1 and 1.0 are, 1 and "1" are not."""
    if isinstance(value, Mapping):
        options = sorted(f"{key}={same(one)}" for key, one in value.items() if key != "name")
        return ":".join([same(value.get("name", "")), *options])
    if isinstance(value, list | tuple):
        return f"[{'+'.join(map(same, value))}]"
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    return repr(value)


def spellings(values: Iterable[Any]) -> dict[str, str]:
    """`same` of each value -> its spelling, in full where values that differ share one."""
    known = {same(value): spelling(value) for value in values}
    counts = Counter(known.values())
    return {one: text if counts[text] == 1 else one for one, text in known.items()}
