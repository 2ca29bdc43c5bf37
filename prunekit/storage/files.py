"""Files that survive a kill: temp in the same folder, fsync, rename. Imports no torch."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prunekit.errors import StorageError

TEMPORARY = ".tmp-"


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new, nothing between.

    Raises StorageError (exit code 4) when the disk is full, or there is no folder to write to.
    """
    write_parts(path, [content], len(content))


def write_parts(path: str | Path, parts: Iterable[bytes | memoryview], size: int) -> None:
    """As `write_bytes`, for a content of `size` bytes that comes in parts."""
    path = Path(path)
    require_folder_of(path)
    temporary = path.with_name(f".{path.name}{TEMPORARY}{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        need = f"{size:,} bytes"
        raise StorageError(
            f"cannot write {path} ({need}): {error.strerror}; free space or choose another folder"
        ) from None


def require_folder_of(path: str | Path) -> None:
    """StorageError unless `path` can be a file's: asked before the work whose result it will be."""
    if Path(path).is_dir():
        raise StorageError(f"cannot write {path}: it is a folder; name a file")
    if not Path(path).parent.is_dir():
        raise StorageError(f"cannot write {path}: there is no folder {Path(path).parent}; make it")


def is_temporary(name: str) -> bool:
    """Whether a file's name is that of a half-written file, which a kill leaves behind."""
    return name.startswith(".") and TEMPORARY in name


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that a rename in it survives power loss."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add `line` as a line of JSON; on a full disk the file keeps whole lines only.

    Raises StorageError when it cannot be written.
    """
    text = (json.dumps(line) + "\n").encode()
    size = size_of(path)
    try:
        with open(path, "ab") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise StorageError(f"cannot write {path}: {error.strerror}") from None
