"""The run folder: what stands where in it, and who may begin in it. Imports no torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import SpecError, StorageError
from prunekit.storage.files import append_line, is_temporary, size_of, write_bytes
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
from prunekit.storage.texts import regular_inside


@attrs.frozen
class _Entry:
    """A file or folder that a run keeps in its folder, by its name there; read as its path."""

    name: str

    def __get__(self, run: RunFolder, kind: type[RunFolder]) -> Path:
        return run.path / self.name


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
    checkpoints = _Entry("checkpoints")
    plots = _Entry("plots")

    @property
    def spec_hash(self) -> str:
        """sha256 of spec.toml."""
        return hashlib.sha256(self.held(self.spec).read_bytes()).hexdigest()

    def held(self, path: Path) -> Path:
        """`path`, a regular file of this run: who reads one asks here. StorageError for others."""
        return regular_inside(path, self.path)

    def holds_run(self) -> bool:
        return self.spec.is_file()

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
        entries = (entry for entry in vars(RunFolder).values() if isinstance(entry, _Entry))
        return {LOCK, OWNER, *(entry.name for entry in entries)}

    def require_empty(self) -> None:
        """SpecError when the folder holds a run or anything else, StorageError for a file."""
        if self.path.exists() and not self.path.is_dir():
            raise StorageError(f"cannot create {self.path}: it is a file; choose another --out")
        if self.holds_run():
            raise SpecError(
                f"{self.path} holds a run; continue it with `prunekit resume {self.path}` or "
                "choose another --out"
            )
        if self.path.is_dir():
            names = (entry.name for entry in self.path.iterdir())
            strange = [n for n in names if n not in (LOCK, OWNER) and not is_temporary(n)]
            if strange:
                raise SpecError(f"{self.path} is not empty ({strange[0]}); choose another --out")

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the folder for a new run; unless a checkpoint is written, an error undoes all.

        Raises LockedError when another process is at work in it, SpecError when it is not empty,
        StorageError when it cannot be written.
        """
        if not FolderLock(self.path).exists():  # nobody works in it: refuse before touching it
            self.require_empty()
        new = self.create()
        with self.locked():
            self.require_empty()
            try:
                yield
            except KeyboardInterrupt:
                raise
            except BaseException:  # SystemExit of a plugin too
                if not any(self.checkpoints.glob("*/manifest.json")):
                    self.clear(new)
                raise

    def create(self) -> list[Path]:
        """Make the folder; returns the folders that are new. StorageError when it cannot be."""
        new = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot create {self.path}: {error.strerror}") from None
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise StorageError(f"cannot write in {self.path}; choose another --out")
        return new

    def clear(self, new: Iterable[Path]) -> None:
        """Undo a start that came to nothing: remove what it wrote, and the `new` folders."""
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody else may have come in
            for path in new:
                path.rmdir()

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
        return checked(self.held(self.components), COMPONENTS)

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one JSON line; on a full disk the file keeps whole lines only."""
        append_line(self.metrics, line)

    def metrics_bytes(self) -> int:
        return size_of(self.metrics)

    def cut_metrics(self, size: int) -> None:
        """Drop the lines written after a checkpoint of `size` bytes of metrics.

        Raises StorageError when lines from before the checkpoint are missing.
        """
        if self.metrics_bytes() < size:
            raise StorageError(
                f"{self.metrics} has lost lines; put it back, or remove {self.checkpoints} to "
                "begin anew"
            )
        if self.metrics.exists():
            os.truncate(self.metrics, size)

    def lines(self) -> list[dict[str, Any]]:
        """The metrics lines, oldest first; StorageError when one is damaged."""
        there = os.path.lexists(self.metrics)
        return checked_lines(self.held(self.metrics), METRICS) if there else []


def refuse_kept(out: str | Path) -> None:
    """SpecError where `out` is a file that a run keeps in its folder."""
    target = Path(out).resolve()
    for folder in map(RunFolder, target.parents):
        name = target.relative_to(folder.path).parts[0]
        if folder.components.is_file() and folder.holds_run() and name in folder.own_names():
            raise SpecError(f"{out} is a file of the run {folder.path}; choose another --out")
