"""Texts that anybody may have written: JSON and TOML from regular files, of bounded size and depth.

What cannot be read is one line: which file, and why. Nothing waits, neither for a pipe nor for a
device. Imports no torch.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prunekit.errors import SpecError, StorageError

MOST_BYTES = 2**23
"""A JSON text has so many bytes at most; so has a line of metrics."""
MOST_SPEC, MOST_LINES = 2**18, 2**31
"""Bytes of a spec, and of a file of metrics, at most."""
DEPTH = 40
"""So deep lists and tables may lie in each other."""
LARGE = 2**128
DOTS = 200
"""Parts of a dotted key, at most: tomllib needs the square of them in time."""
NO_KEY = re.compile(
    r""""{3}(?:[^"\\]|\\.|"{1,2}(?!"))*+(?:"{3,5})?|'{3}(?:[^']|'{1,2}(?!'))*+(?:'{3,5})?|"""
    r"""'[^'\n]*+'?|"(?:[^"\\\n]|\\.)*+"?|#[^\n]*+""",
    re.DOTALL,
)
"""Strings of TOML, of one line or several, and comments."""

Check = Callable[[Any], object]
"""Raises ValueError for a value that does not belong where it was found."""


def read_regular(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises OSError where it cannot be read, ValueError where it is another thing, or longer.
    """
    _require_regular(os.stat(path), most)  # before it is opened: that alone may wait, or act
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        _require_regular(os.fstat(file.fileno()), most)
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is longer than {most:,} bytes")
    return content


def _require_regular(found: os.stat_result, most: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise ValueError("it is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is a pipe or a device, and no file")
    if found.st_size > most:
        raise ValueError(f"it has {found.st_size:,} bytes, more than {most:,}")


def regular_inside(path: Path, folder: Path) -> Path:
    """`path`, a regular file in `folder`; StorageError for what is none, or a link out of it."""
    try:
        target = path.resolve()
        inside, regular = target.is_relative_to(folder.resolve()), target.is_file()
    except (OSError, RuntimeError) as error:  # before Python 3.13 a circle is a RuntimeError
        raise StorageError(f"cannot read {path}: {error}") from None
    if not inside:
        raise StorageError(
            f"{path} leads out of its run folder, to {target}, and is not followed; put the file "
            "itself there"
        )
    if not regular:
        what = "it is no file" if os.path.lexists(target) else "No such file"
        raise StorageError(f"cannot read {path}: {what}")
    return path


def read_json(path: str | Path, check: Check | None = None, most: int = MOST_BYTES) -> Any:
    """The value in a file of JSON; StorageError names the file and what is wrong."""
    try:
        return _checked(read_regular(path, most), check)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise StorageError(
            f"cannot read the run: {path} is damaged: {error}; restore it or run again"
        ) from None


def read_json_lines(path: str | Path, check: Check | None = None) -> Iterator[Any]:
    """The value of each line of a file; StorageError names the file, the line and what is wrong."""
    number = 0
    try:
        for line in read_regular(path, MOST_LINES).splitlines():
            number += 1
            if len(line) > MOST_BYTES:
                raise ValueError(f"it is longer than {MOST_BYTES:,} bytes")
            yield _checked(line, check)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        where = f"line {number}: " if number else ""
        raise StorageError(f"{path} is damaged: {where}{error}; restore it") from None


def _checked(content: bytes, check: Check | None) -> Any:
    value = parse_json(content)
    if check is not None:
        check(value)
    return value


def read_toml(path: str | Path) -> dict[str, Any]:
    """The nested mapping of a TOML file; SpecError names the file and the line."""
    try:
        return parse_toml(read_regular(path, MOST_SPEC))
    except OSError as error:
        raise SpecError(f"cannot read the spec {path}: {error.strerror}") from None
    except ValueError as error:
        raise SpecError(f"{path} is no TOML: {error}") from None


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; ValueError for what is no JSON, too deep, or has a key twice."""
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        return _bearable(json.loads(text, object_pairs_hook=_once))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def parse_toml(content: bytes) -> dict[str, Any]:
    """The tables of a TOML text; ValueError for what is no TOML, too deep or too dotted."""
    text = content.decode("utf-8")
    if any(run.count(".") > DOTS for run in re.split(r"[^\w.\t -]", NO_KEY.sub("", text))):
        raise ValueError(f"a key has more than {DOTS} parts")
    try:
        return dict(_bearable(tomllib.loads(text)))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key is given twice")
    return table


def _bearable(value: Any) -> Any:
    """The value; ValueError where it is more than `DEPTH` deep or has too long a number."""
    layer: list[Any] = [[value]]
    for _ in range(DEPTH + 1):
        parts = (part.values() if isinstance(part, dict) else part for part in layer)
        inner = [value for part in parts for value in part if type(value) not in (str, float, bool)]
        if any(type(value) is int and abs(value) >= LARGE for value in inner):
            raise ValueError("a whole number has more than 128 bits")  # printing it may fail
        layer = [value for value in inner if isinstance(value, dict | list)]
        if not layer:
            return value
    raise ValueError("it is nested too deep")
