"""Runs that failed: why, and the last lines of their logs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import attrs

from prunekit.errors import PrunekitError, printable
from prunekit.reports.page.words import runs, some
from prunekit.reports.tidy import Row
from prunekit.storage.files import open_file, reason
from prunekit.storage.texts import regular_inside

MOST = 30
"""Reasons that are shown with a log."""
LINES, LENGTH, BYTES = 20, 400, 2**16
"""The last lines of a log, characters of each, and bytes that are read for them, at most."""


@attrs.frozen
class Failure:
    """Runs that failed for one reason. lines: the end of the log of the first."""

    names: str
    said: str
    log: str
    lines: list[str]


def failures(rows: Sequence[tuple[str, Row]]) -> tuple[list[Failure], str]:
    """(name, row) of runs -> those that failed, by reason; then how many more, "" for none."""
    reasons: dict[tuple[int | None, str], list[tuple[str, Row]]] = {}
    for name, row in rows:
        if row.state == "failed":
            reasons.setdefault((row.code, row.reason), []).append((name, row))
    shown = [_failure(*why, found) for why, found in [*reasons.items()][:MOST]]
    left = sum(map(len, [*reasons.values()][MOST:]))
    return shown, runs(left) if left else ""


def _failure(code: int | None, reason: str, found: Sequence[tuple[str, Row]]) -> Failure:
    first = found[0][1].folder
    log = first.with_name(f"{first.name}.log")
    names = some([f"{name}, seed {row.seed}" for name, row in found], separator="; ")
    return Failure(
        names, f"{runs(len(found))}: exit code {code}: {reason}", str(log), last_lines(log)
    )


def last_lines(log: Path) -> list[str]:
    """The end of a log as text that moves nothing; empty where there is none."""
    if not os.path.lexists(log):
        return []
    try:
        with open_file(regular_inside(log, log.parent)) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - BYTES))
            text = file.read(BYTES).decode("utf-8", "replace")
    except PrunekitError as error:
        return [str(error)]
    except OSError as error:
        return [f"cannot read {log}: {reason(error)}"]
    lines = [line.rpartition("\r")[2] for line in text.rstrip().split("\n")]
    return [printable(line.expandtabs())[-LENGTH:] for line in lines[-LINES:]]
