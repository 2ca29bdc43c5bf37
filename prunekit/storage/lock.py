"""Who may write in a folder: one process at a time, with its name on the door."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from prunekit.errors import LockedError, StorageError
from prunekit.storage.files import is_temporary, reason, status_of, write_bytes
from prunekit.storage.shapes import SIGNED, check
from prunekit.storage.texts import parse_json, read_regular

if TYPE_CHECKING:
    from filelock import FileLock

LOCK, OWNER = ".lock", ".owner.json"
ORPHAN_SECONDS = 15.0  # loader processes look for their parent every 5 s


@attrs.frozen
class FolderLock:
    """The lock of a folder, and the file in it that says who holds it."""

    folder: Path

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; LockedError names who holds it. A dead owner's lock is free.

        What a killed owner left half-written in the folder is removed.
        """
        lock = self._acquired()
        door = self._door()
        try:
            owner = {"pid": os.getpid(), "host": socket.gethostname()}
            write_bytes(self.folder / OWNER, json.dumps(owner).encode())
            self._sweep()
            yield
        finally:
            with contextlib.suppress(OSError, StorageError):  # what was to be done is done
                if self._door() == door:  # else it was removed, and another may have come
                    (self.folder / OWNER).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                lock.release()

    def _door(self) -> int | None:
        """The file that is the lock, by number."""
        found = status_of(self.folder / LOCK)
        return found.st_ino if found else None

    def exists(self) -> bool:
        """Whether anybody ever held it."""
        return status_of(self.folder / LOCK) is not None

    def in_use(self) -> bool:
        """Whether somebody who has signed holds it; nobody is kept out by asking."""
        owner = self._read_owner()
        return bool(owner) and not _is_dead(owner) and _is_held(self.folder / LOCK)

    def owner(self) -> str:
        """Who holds the lock, in words; an owner that came just now is still to sign."""
        for _ in range(20):
            owner = self._read_owner()
            if owner:
                return f"pid {owner['pid']} on {owner['host']}"
            time.sleep(0.05)
        return "another process"

    def _acquired(self) -> FileLock:
        """The lock, taken; loader processes of a dead owner may hold it for some seconds more."""
        from filelock import FileLock, Timeout  # comes with asyncio: who reads a run needs neither

        lock = FileLock(self.folder / LOCK)
        try:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if not _is_dead(self._read_owner()):
                    raise
                lock.acquire(timeout=ORPHAN_SECONDS)
        except Timeout:
            raise LockedError(
                f"{self.folder} is in use by {self.owner()}; wait for it, or choose another --out"
            ) from None
        except (OSError, NotImplementedError) as error:  # the latter where there are no locks
            raise StorageError(
                f"cannot lock {self.folder}: {reason(error)}; choose an --out on another disk"
            ) from None
        return lock

    def _read_owner(self) -> dict[str, Any]:
        """Process and host of the owner; empty where nobody has signed."""
        try:
            owner = parse_json(read_regular(self.folder / OWNER))
            check(owner, SIGNED)
            return dict(owner)
        except (OSError, ValueError):
            return {}

    def _sweep(self) -> None:
        """Remove files that a killed owner left half-written."""
        for entry in self.folder.iterdir():
            if is_temporary(entry.name):
                with contextlib.suppress(OSError):  # a folder of that name is nobody's file
                    entry.unlink()


def _is_held(path: Path) -> bool:
    """Whether a file is locked; True where that cannot be told."""
    try:
        import fcntl

        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return True
    return False


def _is_dead(owner: Mapping[str, Any]) -> bool:
    """Whether the owner of a lock was a process of this host that is no more."""
    if owner.get("host") != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(owner["pid"], 0)
    except (ProcessLookupError, OverflowError):  # no process has such a number
        return True
    except OSError:
        return False
    return False
