"""Rows of text as columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prunekit.errors import printable


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Rows of text as left-aligned columns, two spaces apart."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
