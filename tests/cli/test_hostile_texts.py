"""Any text in any file of a run folder is one line, exit code 2 or 4, soon: never a traceback."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prunekit.cli.entry import main

RUN = ["run", "--scorer", "magnitude", "--density", "0.5", "--device", "cpu", "--arch", "mlp"]
COMMANDS = {
    "show": ["show", "RUN"],
    "compare": ["compare", "RUN", "RUN"],
    "eval": ["eval", "RUN"],
    "export": ["export", "RUN", "--to", "state-dict", "--out", "OUT"],
    "ticket save": ["ticket", "save", "RUN", "--out", "OUT"],
    "ticket info": ["ticket", "info", "RUN/model.safetensors"],
    "resume": ["resume", "RUN"],
    "run SPEC": ["run", "RUN/spec.toml", "--dry-run"],
}
READ = {
    "spec.toml": {*COMMANDS} - {"ticket info", "resume"},
    "summary.json": {"show", "compare", "eval", "export", "ticket save", "resume"},
    "layers.json": {"show", "compare"},
    "metrics.jsonl": {"show", "compare"},
    "model.safetensors": {"eval", "export", "ticket info"},
    "masks.safetensors": {"eval", "export"},
}
"""Which commands read which file of a finished run."""
JSON: dict[str, Any] = {
    "nothing": "",
    "null": "null",
    "a number": "3",
    "a text": '"kept"',
    "a list": "[]",
    "a list of lists": "[[1, 2], [3, 4]]",
    "pairs": '[["density", 0.5]]',
    "lists for all": '{"density": [0.5], "kept": [1], "name": [[]], "input_shape": [[1]]}',
    "tables for all": '{"density": {}, "kept": {}, "name": {}, "input_shape": {}, "classes": {}}',
    "texts for all": '{"density": "a", "kept": "b", "input_shape": "c", "classes": "d"}',
    "not a number": '{"density": NaN, "kept": NaN, "classes": NaN, "input_shape": [NaN]}',
    "infinite": '{"density": 1e999, "kept": 1e999, "input_shape": [1e999], "classes": 1e999}',
    "negative": '{"density": -1, "kept": -1, "classes": -1, "input_shape": [-1, -8, -8]}',
    "true": '{"density": true, "kept": true, "classes": true, "input_shape": [true]}',
    "a key twice": '{"density": 0.5, "density": 0.25}',
    "5000 digits": '{"kept": ' + "9" * 5000 + "}",
    "4000 digits": '{"kept": ' + "9" * 4000 + "}",
    "5000 hexadecimal digits": "kept = 0x" + "f" * 5000,
    "deep lists": "[" * 100_000,
    "deep tables": '{"a":' * 100_000,
    "rather deep": "[" * 200 + "]" * 200,
    "many parts": ".".join(["a"] * 20_000) + " = 1",
    "deep in TOML": "arch = " + "[" * 100_000,
    "cut": '{"density": 0.',
    "TOML for JSON": 'arch = "mlp"\nseed = true\n',
    "a date": "seed = 1979-05-27\narch = 07:32:00\n[prune]\ndensity = 1979-05-27\n",
    "sections that are none": 'prune = 3\ntrain = "x"\npublished = [1]\n',
    "components that are none": "arch = 3\nscorer = [1]\ndataset = {}\nsampler = true\n",
    "published nonsense": "[published]\nmean = {}\nstd = 1979-05-27\nn = []\n",
    "names of code": 'arch = ".a:b"\nscorer = "..:"\ndataset = ":"\nsampler = "a..b:c"\n',
    "NUL in names": 'arch = "a\\u0000b.py:f"\nweights = "a\\u0000b"\n[prune]\nmasks = "\\u0000"\n',
    "long names": f'weights = "{"a" * 5000}"\n',
    "long masks": f'[prune]\nmasks = "{"a/" * 5000}"\n',
    "long code": f'arch = "{"a" * 5000}.py:f"\n',
    "not UTF-8": b'{"density": \xff\xfe}',
    "UTF-16": '{"density": 0.5}'.encode("utf-16"),
    "a byte-order mark": b'\xef\xbb\xbf{"density": 0.5}',
    "half a pair": '{"density": "\\ud800", "survey": "\\ud800"}',
    "zeros": b"\0" * 1000,
    "long": b" " * 2**24,
    "long on one line": b"[" + b"0," * 2**23 + b"0]",
}


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # its name may have 107 bytes
    server.bind(path.name)
    os.chdir(here)
    server.close()


THINGS: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe": a_pipe,
    "a socket": a_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link out": lambda path: path.symlink_to("/etc/passwd"),
    "a link to nothing": lambda path: path.symlink_to("/nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a huge file": lambda path: (path.touch(), os.truncate(path, 2**40)),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; nobody changes it."""
    out = tmp_path_factory.mktemp("hostile") / "run"
    assert main([*RUN, "--epochs", "1", "--out", str(out)]) == 0
    return out


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def put(path: Path, content: str | bytes | Callable[[Path], object]) -> None:
    path.unlink(missing_ok=True)
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def refused(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str], *, done: bool = False
) -> str:
    """Do a command; it must end in one line and code 2 or 4, or be `done` where it may."""
    words = {"RUN": str(folder), "OUT": str(folder.parent / "out")}
    argv = [words.get(word, word.replace("RUN", str(folder))) for word in COMMANDS[command]]
    capsys.readouterr()
    code, lines = main(argv), capsys.readouterr().err.splitlines()
    if code or not done:
        assert code in (2, 4), (command, code, lines)
        assert len(lines) == 1, (command, lines)
        assert lines[0].startswith("prunekit: ")
        assert len(lines[0]) < 4_100
    return "".join(lines)


def some(commands: set[str], text: str) -> list[str]:
    """Two of the commands, others for other texts; R10 of bench/trust.py asks all of them."""
    order, first = sorted(commands), [*JSON, *THINGS].index(text)
    return [order[(first + i) % len(order)] for i in range(min(2, len(order)))]


@pytest.mark.parametrize("file", READ)
@pytest.mark.parametrize("text", [*JSON, *THINGS])
def test_a_hostile_file_is_one_line(
    file: str, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder / file, THINGS[text] if text in THINGS else JSON[text])
    legal = {
        "layers.json": ["a list"],
        "metrics.jsonl": ["nothing", "not a number", "infinite"],
        "spec.toml": ["nothing", "long masks", "long names"],
    }
    shown = {"a date", "sections that are none", "components that are none", "names of code"}
    shown |= {"NUL in names", "long code", "TOML for JSON"}
    for command in some(READ[file], text):
        may = text in legal.get(file, []) or file == "metrics.jsonl"
        may |= file == "spec.toml" and text in shown and command in ("show", "compare")
        refused(command, folder, capsys, done=may)


WRONG = [None, True, -1, 1.5, 2**70, "x", [], {}, [[]], [None], ["a", 1], math.nan, math.inf]


@pytest.mark.parametrize("file", ["summary.json", "layers.json"])
def test_a_value_of_the_wrong_type_is_one_line_wherever_it_stands(
    file: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((folder / file).read_text())
    first = content if file == "summary.json" else content[0]
    for key in first:
        before = first[key]
        for i, wrong in enumerate(WRONG):
            first[key] = wrong
            (folder / file).write_text(json.dumps(content))
            refused(("show", "compare")[i % 2], folder, capsys, done=True)
            if key in ("input_shape", "classes"):
                refused("eval", folder, capsys)
        first[key] = before


@pytest.mark.parametrize("text", [*JSON, *THINGS])
def test_a_stopped_run_is_not_resumed_by_hostile_texts(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "summary.json").unlink()
    for file in ("spec.toml", "components.json"):
        before = (folder / file).read_bytes()
        put(folder / file, THINGS[text] if text in THINGS else JSON[text])
        refused("resume", folder, capsys)
        if (folder / file).is_dir() and not (folder / file).is_symlink():
            (folder / file).rmdir()
        put(folder / file, before)


@pytest.mark.parametrize("text", [*JSON, *THINGS])
def test_whatever_signed_the_lock_it_is_free_or_taken(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder / ".owner.json", THINGS[text] if text in THINGS else JSON[text])
    refused("resume", folder, capsys, done=True)


def test_a_lock_that_is_held_by_a_number_of_no_process(folder: Path) -> None:
    from prunekit.storage.lock import _is_dead

    assert _is_dead({"pid": 2**62, "host": socket.gethostname()})
