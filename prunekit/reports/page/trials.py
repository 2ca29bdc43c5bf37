"""The runs of a page with what is read of their folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import PrunekitError
from prunekit.reports.report import spelled
from prunekit.reports.tidy import Row, rows, shown_spec
from prunekit.storage.runfolder import RunFolder


@attrs.frozen
class Trial:
    """A row and the files of its folder, as far as they are there.

    number: from 1. name: what varied, in words. damage: why a file cannot be read; "" = none.
    """

    row: Row
    number: int
    name: str
    spec: Mapping[str, Any] = {}
    record: Mapping[str, Any] = {}
    layers: Sequence[Mapping[str, Any]] = ()
    damage: str = ""

    @property
    def id(self) -> str:
        return f"run-{self.number}"


def read_trials(folders: Sequence[str | Path]) -> list[Trial]:
    """The runs of these folders, in the order of `rows`."""
    return [_read(row, number) for number, row in enumerate(rows(folders), 1)]


def name_of(row: Row) -> str:
    """What varied, in words; the folder's name where nothing did."""
    return ", ".join(map(spelled, row.cell.values())) or row.folder.resolve().name


def _read(row: Row, number: int) -> Trial:
    run, bare = RunFolder(row.folder), Trial(row, number, name_of(row))
    try:
        return attrs.evolve(
            bare,
            spec=shown_spec(row.folder) if run.holds_run() else {},
            record=run.read_components() if os.path.lexists(run.components) else {},
            layers=run.read_layers() if os.path.lexists(run.layers) else [],
        )
    except PrunekitError as error:
        return attrs.evolve(bare, damage=str(error))
