"""Code that the user has named in a run of his own: a list in his state folder, as direnv keeps it.

The list is a folder, `prunekit/named` in $XDG_STATE_HOME (else ~/.local/state), with a small file
for each path and content: its name is made of the sha256 of both, its text is the path. So two
runs may write at once, and damage to one entry asks again for that one alone. Imports no torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from prunekit.errors import StorageError
from prunekit.storage.files import write_bytes
from prunekit.storage.texts import read_regular


def list_folder() -> Path | None:
    """Where the list lies, whether it is there or not; None where the user has no home."""
    given = os.environ.get("XDG_STATE_HOME", "")
    try:
        state = Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return state / "prunekit" / "named"


def remember(path: Path, content: bytes) -> None:
    """Note that the user named the file at `path` when it had this content.

    Where that cannot be written the run goes on, and a later command asks.
    """
    folder = list_folder()
    if folder is None or is_remembered(path, content):
        return
    with contextlib.suppress(OSError, ValueError, StorageError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_bytes(folder / _entry(path, content), _text(path))


def is_remembered(path: Path, content: bytes) -> bool:
    """Whether the user named this file with this very content."""
    folder = list_folder()
    try:
        return folder is not None and read_regular(folder / _entry(path, content)) == _text(path)
    except (OSError, ValueError):
        return False


def was_named(path: Path) -> bool:
    """Whether the user named this file, whatever its content was."""
    folder = list_folder()
    try:
        entries = [] if folder is None else [*folder.glob(f"{_sha256(os.fsencode(path))}-*")]
        return any(read_regular(entry) == _text(path) for entry in entries)
    except (OSError, ValueError):
        return False


def cannot_remember() -> bool:
    """Whether the list can be neither found nor made, so that every command must ask."""
    folder = list_folder()
    if folder is None:
        return True
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    return not there.is_dir() or not os.access(there, os.W_OK | os.X_OK)


def _entry(path: Path, content: bytes) -> str:
    return f"{_sha256(os.fsencode(path))}-{_sha256(content)}"


def _text(path: Path) -> bytes:
    return os.fsencode(path) + b"\n"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
