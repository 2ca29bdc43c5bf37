"""Hostile texts: the files of a stranger's run folder, as a list of (file, content or act)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Act = Callable[[Path], object]
Hostile = tuple[str, str, Act]
"""The file's name in a run folder, what is hostile, and what makes it so, given its path."""

EVIL = "import pathlib\npathlib.Path({marker!r}).write_text('executed')\n"
EVIL_TAIL = "class Build:\n    def build(self, *_): pass\nbuild = Build().build\n"
FILES = ("summary.json", "layers.json", "components.json", "metrics.jsonl", "spec.toml")
CODES = ("evil.py:build", "./evil.py:build", "{folder}/evil.py:build", "evil:Build", "os:system")
CODES += ("builtins:exec", "../evil.py:build", "evil.py:build#", "evil.py", "posix:system")
PARTS = ("arch", "dataset", "scorer", "sampler", "reinit", "init")
WRONG: tuple[Any, ...] = (None, True, -1, 1e300, "x", [], {}, [[]], {"name": 3}, "\x1b[31m", [None])
PICKLE = b"cposix\nsystem\n(S'touch {marker}'\ntR."
WHOLE: dict[str, bytes] = {
    "nothing": b"", "a space": b" ", "a list": b"[]", "a number": b"3", "null": b"null",
    "a string": b'"x"', "true": b"true", "NaN": b"NaN", "5,000 digits": b"1" * 5000,
    "depth": b"[" * 100_000, "closed depth": b"[" * 100_000 + b"]" * 100_000,
    "deep tables": b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"), "no UTF-8": b'{"\xff\xfe": 1}', "NUL": b"\0" * 4096,
    "pickle": PICKLE, "a lone surrogate": b'{"\\ud800": "\\udfff"}', "lists": b"[[1],[2]]",
    "zip": b"PK\x03\x04" + b"\0" * 60, "a long line": b'{"a": "' + b"x" * 3_000_000 + b'"}',
    "deep TOML": b"a = " + b"[" * 50_000, "dotted TOML": b"a" + b".a" * 20_000 + b" = 1",
    "twice": b'{"a": 1, "a": 2}', "escapes": b'{"\\u001b]0;title\\u0007": "\\u001b[2J"}',
}  # fmt: skip
ODD: dict[str, Act] = {
    "a FIFO": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to /dev/stdin": lambda path: path.symlink_to("/dev/stdin"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to("/nowhere"),
    "a link outside": lambda path: path.symlink_to("/etc/passwd"),
    "64 GB of nothing": lambda path: (path.touch(), os.truncate(path, 2**36)),
}


def texts(folder: Path, marker: Path) -> Iterator[Hostile]:
    """Every hostile text for a finished folder like this one; those that name code first."""
    yield from naming_code(folder, marker)
    for name in (*FILES, "masks.safetensors", "model.safetensors"):
        for what, act in ODD.items():
            yield name, what, lambda path, act=act: (path.unlink(), act(path))
        for what, content in WHOLE.items():
            content = content.replace(b"{marker}", str(marker).encode())
            yield name, what, lambda path, content=content: path.write_bytes(content)
    for name in ("summary.json", "components.json"):
        whole = json.loads((folder / name).read_text())
        for key in whole:
            for value in WRONG:
                text = json.dumps(whole | {key: value})
                yield name, f"{key} = {value!r}", lambda path, text=text: path.write_text(text)
    for name, key in lines_of(folder):
        for value in WRONG:
            yield name, f"{key} = {value!r}", _line(key, value)


def naming_code(folder: Path, marker: Path) -> Iterator[Hostile]:
    """Components of spec.toml that are files or modules of the stranger's; his record matches."""
    for part in PARTS:
        for code in CODES:
            yield "spec.toml", f"{part} = {code}", _component(part, code, marker)
    for key in ("observers", "weights", "prune.masks"):
        yield "spec.toml", f"{key} = evil.py", _value(key, marker)


def _component(part: str, code: str, marker: Path) -> Act:
    def act(path: Path) -> None:
        _write_evil(path.parent, marker)
        spec = _toml(path)
        spec[part] = {"name": code.format(folder=path.parent)}
        _write_toml(path, spec)
        record = json.loads((path.parent / "components.json").read_text())
        record[part] = {"name": spec[part]["name"], "package": "evil", "version": "0"}
        (path.parent / "components.json").write_text(json.dumps(record))

    return act


def _value(key: str, marker: Path) -> Act:
    def act(path: Path) -> None:
        _write_evil(path.parent, marker)
        spec = _toml(path)
        *tables, last = key.split(".")
        table = spec.setdefault(tables[0], {}) if tables else spec
        table[last] = ["evil"] if key == "observers" else str(path.parent / "evil.py")
        _write_toml(path, spec)

    return act


def _write_evil(folder: Path, marker: Path) -> None:
    text = EVIL.format(marker=str(marker)) + EVIL_TAIL
    for place in (folder, folder.parent):
        (place / "evil.py").write_text(text)


def lines_of(folder: Path) -> Iterator[tuple[str, str]]:
    """The keys of the first line of metrics, and of the first layer."""
    first = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    yield from (("metrics.jsonl", key) for key in first)
    layers = json.loads((folder / "layers.json").read_text())
    yield from (("layers.json", key) for key in layers[0])


def _line(key: str, value: Any) -> Act:
    def act(path: Path) -> None:
        if path.name == "layers.json":
            first, *others = json.loads(path.read_text())
            path.write_text(json.dumps([first | {key: value}, *others]))
        else:
            first, *rest = path.read_text().splitlines()
            path.write_text("\n".join([json.dumps(json.loads(first) | {key: value}), *rest]))

    return act


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(path.read_text())


def _write_toml(path: Path, spec: dict[str, Any]) -> None:
    import tomli_w

    path.write_text(tomli_w.dumps(spec))
