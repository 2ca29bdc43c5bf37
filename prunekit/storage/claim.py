"""The folder of a run that begins: claimed, and left as it was where nothing comes of it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from prunekit.errors import StorageError
from prunekit.storage.files import is_temporary, reason, status_of
from prunekit.storage.lock import LOCK, OWNER, FolderLock

if TYPE_CHECKING:
    from prunekit.storage.runfolder import RunFolder

EVENTS = "tensorboard/events.out.tfevents.*"
"""What the observer tensorboard writes in the folder of a run."""


@attrs.frozen
class Claim:
    """A claim to a folder that holds no run yet."""

    run: RunFolder

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for a new run; an error undoes all, until a line of metrics is written.

        What is no error but a stop leaves a run that has begun, which can be resumed.
        Raises LockedError when another process is at work in it, SpecError when it is not empty,
        StorageError when it cannot be made, written or locked.
        """
        status_of(self.run.path)  # a name that cannot be one
        lock = FolderLock(self.run.path)
        if known := lock.exists():
            new = []
        else:  # nobody works in it: refuse before touching it
            self.run.require_empty()
            new = self.create()
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock.held())
            except StorageError:
                if not known:
                    self.clear(new)
                raise
            self.run.require_empty()
            try:
                yield
            except BaseException as error:  # SystemExit of a plugin too
                stopped = not isinstance(error, Exception | SystemExit) and self.run.holds_run()
                if not stopped and not self.saved():
                    self.clear(new)
                raise

    def create(self) -> list[Path]:
        """Make the folder; returns the folders that are new. StorageError when it cannot be."""
        path = self.run.path
        try:
            new = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot create {path}: {reason(error)}") from None
        if not os.access(path, os.W_OK | os.X_OK):
            raise StorageError(f"cannot write in {path}; choose another --out")
        return new

    def saved(self) -> bool:
        """Whether work was done: a line of metrics, a checkpoint, or a run that is finished."""
        with contextlib.suppress(StorageError):
            whole = any(self.run.checkpoints.glob("*/manifest.json"))
            begun = self.run.holds_run() and self.run.metrics_bytes() > 0
            return whole or begun or status_of(self.run.summary) is not None
        return True

    def clear(self, new: Iterable[Path]) -> None:
        """Undo a start that came to nothing: remove what it wrote, and the `new` folders.

        What others have put there stays, and so do the folders that hold it.
        """
        from prunekit.storage.checkpoints import drop_checkpoints  # imports torch

        path = self.run.path
        drop_checkpoints(self.run.checkpoints)
        halves = [entry for entry in path.iterdir() if is_temporary(entry.name)]
        own = [*self.run.own_files(), *path.glob(EVENTS), *halves, path / OWNER, path / LOCK]
        for file in (f for f in own if f.parent == path or not f.parent.is_symlink()):
            with contextlib.suppress(OSError):
                if stat.S_ISREG(file.lstat().st_mode):
                    file.unlink()
        for folder in (self.run.plots, path / "tensorboard", *new):
            with contextlib.suppress(OSError):  # it holds what is somebody else's
                folder.rmdir()
