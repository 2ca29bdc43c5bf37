"""Runs that failed: why, and the last lines of their logs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import attrs

from prunekit.errors import PrunekitError, printable
from prunekit.reports.tidy import Row
from prunekit.storage.files import open_file, reason
from prunekit.storage.texts import regular_inside

MOST = 30
"""Failures that are shown with their logs."""
LINES, LENGTH, BYTES = 20, 400, 2**16
"""The last lines of a log, characters of each, and bytes that are read for them, at most."""


@attrs.frozen
class Failure:
    name: str
    said: str
    where: str
    lines: list[str]


def failures(rows: Sequence[tuple[str, Row]]) -> list[Failure]:
    """(name, row) of runs -> what is shown of the first that failed."""
    failed = [(name, row) for name, row in rows if row.state == "failed"]
    return [
        Failure(
            f"{name}, seed {row.seed}",
            f"exit code {row.code}: {row.reason}",
            str(row.folder),
            last_lines(row.folder.with_name(f"{row.folder.name}.log")),
        )
        for name, row in failed[:MOST]
    ]


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
