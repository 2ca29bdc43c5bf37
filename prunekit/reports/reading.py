"""A run folder as who shows it reads it: JSON and TOML only, and no code that it names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import SpecError
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.shapes import SPEC, check
from prunekit.storage.texts import read_toml


@attrs.frozen
class Run:
    """A run folder as read: what is not there yet is empty."""

    folder: Path
    spec: dict[str, Any]
    summary: dict[str, Any]
    layers: list[dict[str, Any]]
    lines: list[dict[str, Any]]

    @property
    def published(self) -> Mapping[str, Any]:
        """What a paper reports for this run; empty where none does."""
        return self.spec.get("published", {})


def read_run(folder: str | Path) -> Run:
    """Read a run folder; StorageError when a file in it is damaged. Runs no code that it names."""
    run = RunFolder(Path(folder))
    run.require_run()
    return Run(
        run.path,
        shown_spec(run),
        run.read_summary() if os.path.lexists(run.summary) else {},
        run.read_layers() if os.path.lexists(run.layers) else [],
        run.lines(),
    )


def shown_spec(run: RunFolder) -> dict[str, Any]:
    """The spec as far as it is shown: nobody looks up what its names stand for."""
    spec = read_toml(run.held(run.spec))
    try:
        check(spec, SPEC)
    except ValueError as error:
        raise SpecError(f"{run.spec} is no spec: {error}") from None
    return spec
