"""The run folder: what stands where in it, and who may begin in it. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import SpecError, StorageError
from prunekit.storage.claim import Claim
from prunekit.storage.files import (
    append_line,
    cut_file,
    is_temporary,
    open_file,
    reason,
    require_kind,
    size_of,
    status_of,
    write_bytes,
)
from prunekit.storage.lock import LOCK, OWNER, FolderLock
from prunekit.storage.shapes import (
    COMPONENTS,
    LAYERS,
    METRICS,
    SUMMARY,
    Table,
    checked,
    checked_lines,
)
from prunekit.storage.texts import MOST_SPEC, read_regular, regular_inside

MOST_COMPONENTS = 2**26
"""Bytes of components.json, at most; once it had the name of each bad file."""


@attrs.frozen
class _Entry:
    """A file or folder that a run keeps in its folder, by its name there; read as its path."""

    name: str
    folder: bool = False

    def __get__(self, run: RunFolder, kind: type[RunFolder]) -> Path:
        return run.path / self.name


def _entries() -> list[_Entry]:
    return [entry for entry in vars(RunFolder).values() if isinstance(entry, _Entry)]


@attrs.frozen
class RunFolder:
    """Paths of one run, and its metrics file."""

    path: Path

    spec = _Entry("spec.toml")
    components = _Entry("components.json")
    metrics = _Entry("metrics.jsonl")
    masks = _Entry("masks.safetensors")
    model = _Entry("model.safetensors")
    scale = _Entry("scale.safetensors")
    draws = _Entry("draws.safetensors")
    layers = _Entry("layers.json")
    summary = _Entry("summary.json")
    checkpoints = _Entry("checkpoints", folder=True)
    rounds = _Entry("rounds", folder=True)
    plots = _Entry("plots", folder=True)
    density_plot = _Entry("plots/density.png")
    curves_plot = _Entry("plots/curves.png")

    @property
    def spec_hash(self) -> str:
        """sha256 of spec.toml; StorageError where it cannot be read."""
        try:
            return hashlib.sha256(read_regular(self.held(self.spec), MOST_SPEC)).hexdigest()
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot read {self.spec}: {reason(error)}") from None

    def held(self, path: Path) -> Path:
        """`path`, a regular file of this run: who reads one asks here. StorageError for others."""
        return regular_inside(path, self.path)

    def holds_run(self) -> bool:
        return status_of(self.spec) is not None

    def require_run(self) -> None:
        """SpecError unless the folder holds a run; it names one that is below."""
        if not self.holds_run():
            name = self.spec.name
            inside = sorted(self.path.glob(f"*/{name}"))
            such = f", such as {inside[0].parent}" if inside else ""
            raise SpecError(f"{self.path} holds no run (no {name}); give the folder of a run{such}")

    def require_finished(self) -> None:
        """SpecError unless the folder holds a run that has come to its end."""
        self.require_run()
        if not os.path.lexists(self.summary):
            resume = f"continue it with `prunekit resume {self.path}`"
            raise SpecError(f"{self.path} is not finished; {resume}")

    def own_names(self) -> set[str]:
        """The names of the files and folders that a run keeps in its folder."""
        return {LOCK, OWNER, *(entry.name for entry in _entries())}

    def own_files(self) -> list[Path]:
        """Where a run writes its files, but for checkpoints."""
        return [self.path / entry.name for entry in _entries() if not entry.folder]

    def require_own(self) -> None:
        """StorageError where a file or folder of the run is a link, or another kind of thing.

        Asked before anything is changed: what a link leads to is not the run's.
        """
        for entry in (*_entries(), _Entry(LOCK), _Entry(OWNER)):
            require_kind(self.path / entry.name, entry.folder)

    def require_empty(self) -> None:
        """SpecError when the folder holds a run or anything else, StorageError for a file."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            what = "it is a file" if self.path.is_file() else "it is below a file"
            raise StorageError(f"cannot create {self.path}: {what}; choose another --out") from None
        except (OSError, ValueError) as error:
            what = f"cannot use {self.path}: {reason(error)}"
            raise StorageError(f"{what}; choose another --out") from None
        if self.spec.name in names:
            raise SpecError(
                f"{self.path} holds a run; continue it with `prunekit resume {self.path}` or "
                "choose another --out"
            )
        strange = [n for n in names if n not in (LOCK, OWNER) and not is_temporary(n)]
        if strange:
            raise SpecError(f"{self.path} is not empty ({strange[0]}); choose another --out")

    def claimed(self) -> AbstractContextManager[None]:
        """Hold the folder for a new run, see `Claim.held`."""
        return Claim(self).held()

    def locked(self) -> AbstractContextManager[None]:
        """Hold the folder's lock; LockedError names who holds it."""
        return FolderLock(self.path).held()

    def write_json(self, path: Path, content: Any) -> None:
        write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())

    def read_summary(self, shape: Table = SUMMARY) -> dict[str, Any]:
        """The contents of summary.json; StorageError when it is damaged."""
        return checked(self.held(self.summary), shape)

    def read_layers(self) -> list[dict[str, Any]]:
        """The contents of layers.json; StorageError when it is damaged."""
        return checked(self.held(self.layers), LAYERS)

    def read_components(self) -> dict[str, Any]:
        """The contents of components.json; StorageError when it is damaged."""
        return checked(self.held(self.components), COMPONENTS, MOST_COMPONENTS)

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one JSON line; on a full disk the file keeps whole lines only."""
        append_line(self.metrics, line)

    def metrics_bytes(self) -> int:
        return size_of(self.metrics)

    def cut_metrics(self, size: int) -> None:
        """Drop the lines written after a checkpoint of `size` bytes of metrics.

        Raises StorageError when lines from before the checkpoint are missing.
        """
        self._require_bytes(size)
        if status_of(self.metrics) is not None:
            cut_file(self.metrics, size)

    def lines(self) -> list[dict[str, Any]]:
        """The metrics lines, oldest first; StorageError when one is damaged."""
        there = os.path.lexists(self.metrics)
        return checked_lines(self.held(self.metrics), METRICS) if there else []

    def lines_before(self, size: int) -> list[dict[str, Any]]:
        """The metrics lines in the first `size` bytes, which a checkpoint counted.

        Raises StorageError where they are not what was written, or cannot be read.
        """
        self._require_bytes(size)
        lines = _json_lines(self.metrics, size) if size else []
        if not all(isinstance(line, dict) for line in lines):
            raise StorageError(f"{self.metrics} has other lines than the run wrote; put it back")
        return lines

    def _require_bytes(self, size: int) -> None:
        if self.metrics_bytes() < size:
            raise StorageError(
                f"{self.metrics} has lost lines; put it back, or remove {self.checkpoints} to "
                "begin anew"
            )


def of_round(run: RunFolder, number: int) -> Path:
    """The folder for what a run keeps of round `number` (from 1), made if it is not there yet.

    Its masks have the name that a run's have. StorageError where it cannot be made.
    """
    path = run.rounds / f"{number:03d}"
    for folder in (run.rounds, path):
        require_kind(folder, folder=True)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot create {path}: {reason(error)}; free space") from None
    return path


def _json_lines(path: Path, size: int) -> list[Any]:
    """The values in the first `size` bytes of a file, one in each line."""
    try:
        with open_file(path, links=False) as file:
            text = file.read(size)
        if not text.endswith(b"\n"):
            raise ValueError("a line of it is cut off")
        return [json.loads(line) for line in text.splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f"cannot read {path}: {reason(error)}; put it back") from None


def refuse_kept(out: str | Path) -> None:
    """SpecError where `out` is a file that a run keeps in its folder."""
    target = Path(out).resolve()
    for folder in map(RunFolder, target.parents):
        name = target.relative_to(folder.path).parts[0]
        if folder.components.is_file() and folder.holds_run() and name in folder.own_names():
            raise SpecError(f"{out} is a file of the run {folder.path}; choose another --out")
