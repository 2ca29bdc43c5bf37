"""The runs of a page with what is read of their folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import PrunekitError
from prunekit.reports.cells import spelling, varying
from prunekit.reports.reading import shown_spec
from prunekit.reports.tidy import STUDY, Row, read_sweep, rows
from prunekit.storage.runfolder import RunFolder


@attrs.frozen
class Trial:
    """A row and the files of its folder, as far as they are there.

    number: from 1. name: what varied, in words. changed: the kinds of its components whose code was
    another when its sweep last began. damage: why a file cannot be read; "" = none.
    """

    row: Row
    number: int
    name: str
    spec: Mapping[str, Any] = {}
    record: Mapping[str, Any] = {}
    layers: Sequence[Mapping[str, Any]] = ()
    changed: Sequence[str] = ()
    damage: str = ""

    @property
    def id(self) -> str:
        return f"run-{self.number}"


Study = tuple[Path, Mapping[str, Any]]
"""The folder of a sweep, and its sweep.json."""


def read_studies(folders: Sequence[str | Path]) -> list[Study]:
    """The sweeps among these folders."""
    paths = list(map(Path, folders))
    return [(path, read_sweep(path)) for path in paths if os.path.lexists(path / STUDY)]


def read_trials(folders: Sequence[str | Path], studies: Sequence[Study]) -> list[Trial]:
    """The runs of these folders, in the order of `rows`."""
    found = rows(folders)
    keys = varying(found)
    changed = {
        folder / trial["folder"]: trial["changed"]
        for folder, study in studies
        for trial in study["trials"]
        if "changed" in trial
    }
    return [
        attrs.evolve(_read(row, number, keys), changed=changed.get(row.folder, ()))
        for number, row in enumerate(found, 1)
    ]


def _read(row: Row, number: int, keys: Sequence[str]) -> Trial:
    known = [spelling(row.cell[key]) for key in keys if row.cell.get(key) is not None]
    name = ", ".join(known) or row.folder.resolve().name
    run, bare = RunFolder(row.folder), Trial(row, number, name)
    try:
        return attrs.evolve(
            bare,
            spec=shown_spec(run) if run.holds_run() else {},
            record=run.read_components() if os.path.lexists(run.components) else {},
            layers=run.read_layers() if os.path.lexists(run.layers) else [],
        )
    except PrunekitError as error:
        return attrs.evolve(bare, damage=str(error))
