"""Files that survive a kill: temp in the same folder, fsync, rename. Imports no torch."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prunekit.errors import StorageError

TEMPORARY = ".tmp-"


def status_of(path: str | Path) -> os.stat_result | None:
    """What `os.lstat` says of what is at `path`, a link itself; None where nothing is.

    Raises StorageError where that cannot be told: no permission, a broken disk, a name too long.
    """
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # a NUL is a ValueError
        raise StorageError(f"cannot look at {path}: {reason(error)}") from None


def require_kind(path: Path, folder: bool) -> None:
    """StorageError for a link, and for a file where a folder should be or the other way round."""
    found, right = status_of(path), stat.S_ISDIR if folder else stat.S_ISREG
    if found is not None and not right(found.st_mode):
        kind = "folder" if folder else "file"
        what = "a link" if stat.S_ISLNK(found.st_mode) else f"no {kind}"
        raise StorageError(
            f"cannot write or read {path}: it is {what}; put the {kind} itself there: nothing "
            "outside of a run folder is changed"
        )


def open_file(path: str | Path, mode: str = "rb", *, links: bool = True) -> io.BufferedReader:
    """A regular file, opened; nothing is waited for. links: whether `path` may be a link.

    Raises OSError, whose `strerror` is made for a line, for what is missing, cannot be opened, or
    is no regular file.
    """
    more = getattr(os, "O_NONBLOCK", 0) | (0 if links else getattr(os, "O_NOFOLLOW", 0))
    try:
        file = open(path, mode, opener=lambda name, flags: os.open(name, flags | more))  # noqa: SIM115
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    except OSError as error:
        if error.errno == errno.ELOOP and not links:
            raise OSError(error.errno, "it is a link, and links are not followed") from None
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no file")
    return file  # type: ignore[return-value]  # the mode is a binary one


def reason(error: BaseException) -> str:
    """What an error of the system says, without the number."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())


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
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)
        need = f"{size:,} bytes"
        raise StorageError(
            f"cannot write {path} ({need}): {reason(error)}; free space or choose another folder"
        ) from None


def require_folder_of(path: str | Path) -> None:
    """StorageError unless `path` can be a file's: asked before the work whose result it will be."""
    status_of(path)  # a name that cannot be one
    if Path(path).is_dir():
        raise StorageError(f"cannot write {path}: it is a folder; name a file")
    if not Path(path).parent.is_dir():
        raise StorageError(f"cannot write {path}: there is no folder {Path(path).parent}; make it")


def is_temporary(name: str) -> bool:
    """Whether a file's name is that of a half-written file, which a kill leaves behind."""
    return re.fullmatch(rf"\..+{re.escape(TEMPORARY)}\d+", name) is not None


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that a rename in it survives power loss."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none. StorageError where that cannot be told."""
    found = status_of(path)
    return found.st_size if found else 0


def cut_file(path: Path, size: int) -> None:
    """Let a file end after `size` bytes; a link is not followed. StorageError where it cannot."""
    try:
        with open_file(path, "r+b", links=False) as file:
            file.truncate(size)
    except OSError as error:
        raise StorageError(f"cannot cut {path}: {reason(error)}") from None


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
        raise StorageError(f"cannot write {path}: {reason(error)}") from None
