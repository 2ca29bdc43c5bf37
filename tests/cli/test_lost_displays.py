"""Commands whose standard output or error is closed, full, left by its reader, or 20 wide."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from prunekit.storage.runfolder import RunFolder

SPEC = """
device = "cpu"
arch = { name = "mlp", hidden = [8] }
scorer = "magnitude"
sampler = "topk"
train = { epochs = 2 }
"""
FULL = "cannot write to standard output: No space left on device; give it to a file with room"
CLOSED = "cannot write to standard output: it is closed; give it to a file with room"


def shell(tail: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`prunekit ARGUMENTS TAIL` by a shell, whose exit code is prunekit's."""
    words = ["-m", "prunekit", *map(str, arguments)]
    start = ["sh", "-c", f'"$0" "$@" {tail}', sys.executable, *words]
    return subprocess.run(start, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "spec.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def whole(spec: Path) -> Path:
    """The run that nothing disturbed."""
    out = spec.parent / "whole"
    done = shell("", "run", spec, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def assert_same_run(first: Path, second: Path) -> None:
    for name in ("masks.safetensors", "model.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    summaries = [RunFolder(folder).read_summary() for folder in (first, second)]
    assert len({summary["test.loss"] for summary in summaries}) == 1


@pytest.mark.parametrize("tail", [">/dev/full 2>/dev/full", ">&- 2>&- <&-"])
def test_a_run_whose_displays_are_lost_ends_as_if_they_were_not(
    tail: str, spec: Path, whole: Path, tmp_path: Path
) -> None:
    done = shell(tail, "run", spec, "--out", tmp_path / "run")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert_same_run(whole, tmp_path / "run")


def test_a_run_whose_reader_leaves_in_the_middle_goes_on(
    spec: Path, whole: Path, tmp_path: Path
) -> None:
    start = [sys.executable, "-m", "prunekit", "run", str(spec), "--out", str(tmp_path / "run")]
    pipe = subprocess.PIPE
    with subprocess.Popen(start, stdout=pipe, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"round 1: ")
        process.stdout.close()
        assert process.wait(60) == 0
    assert_same_run(whole, tmp_path / "run")


def in_terminal(width: int, *arguments: str | Path) -> tuple[int, str]:
    """Exit code and output of `prunekit ARGUMENTS` in a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    start = [sys.executable, "-m", "prunekit", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm"}
    with subprocess.Popen(
        start, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        output = b""
        while piece := _read(ours):
            output += piece
    os.close(ours)
    return process.returncode, output.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side is closed
        return b""


def test_a_run_in_a_terminal_of_20_columns_ends_and_shows_all(
    spec: Path, whole: Path, tmp_path: Path
) -> None:
    code, output = in_terminal(20, "run", spec, "--out", tmp_path / "run")
    assert code == 0, output
    assert "59" in output
    assert f"run folder: {tmp_path / 'run'}" in output
    assert_same_run(whole, tmp_path / "run")


@pytest.mark.parametrize("width", [0, 1])
def test_a_terminal_without_columns_shows_all_that_20_show(width: int, whole: Path) -> None:
    code, output = in_terminal(width, "show", whole)
    assert (code, output) == in_terminal(20, "show", whole)


@pytest.mark.parametrize(
    "words", [["show"], ["compare"], ["plugins"], ["--help"], ["run", "--help"], ["theory", "list"]]
)
def test_a_command_that_only_prints_says_in_a_line_that_it_could_not(
    words: list[str], whole: Path
) -> None:
    if words[0] in ("show", "compare"):
        words = [*words, str(whole)]
    for tail, line in ((">/dev/full", FULL), (">&-", CLOSED)):
        done = shell(tail, *words)
        assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
        assert done.stderr.startswith(f"prunekit: {line}")


def test_a_reader_who_leaves_costs_a_printing_command_nothing(whole: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", '("$0" -m prunekit show "$1"; echo $? >&2) | true', sys.executable, whole],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "0\n"
