"""The runs of a page with what is read of their folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import PrunekitError
from prunekit.reports.cells import varying, words_of
from prunekit.reports.reading import shown_spec
from prunekit.reports.tidy import Row, found_in, read_sweep, rows
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
    """The sweeps at or below these folders, each once."""
    paths = [study for folder in folders for study in found_in(Path(folder))[0]]
    return [(p, read_sweep(p)) for p in {path.resolve(): path for path in paths}.values()]


def read_trials(folders: Sequence[str | Path], studies: Sequence[Study]) -> list[Trial]:
    """The runs of these folders, in the order of `rows`."""
    found = rows(folders)
    words = words_of(found, varying(found))
    changed = {
        os.path.realpath(folder / trial["folder"]): trial["changed"]
        for folder, study in studies
        for trial in study["trials"]
        if "changed" in trial
    }
    return [
        attrs.evolve(
            _read(row, number, told), changed=changed.get(os.path.realpath(row.folder), ())
        )
        for number, (row, told) in enumerate(zip(found, words), 1)
    ]


def _read(row: Row, number: int, words: Mapping[str, str]) -> Trial:
    known = [word for key, word in words.items() if row.cell.get(key) is not None]
    name = ", ".join(known) or os.path.basename(os.path.realpath(row.folder))
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
