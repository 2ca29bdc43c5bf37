"""Displays: what a stream does not take is lost, and nothing else."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import time

import pytest

from prunekit.errors import StorageError
from prunekit.reports.displays import Display, displays, occupy_standard_files


class Broken(io.StringIO):
    """A stream whose every write raises."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


FAULTS = [
    OSError(errno.ENOSPC, "No space left on device"),
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.EBADF, "Bad file descriptor"),
    BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    ValueError("I/O operation on closed file."),
    io.UnsupportedOperation("write"),
    AttributeError("'Host' object has no attribute 'write'"),
    RuntimeError("wrapped C/C++ object of type QTextEdit has been deleted"),
    TypeError("write() takes no arguments"),
]


@pytest.mark.parametrize("patience", [None, 0.1])
@pytest.mark.parametrize("error", FAULTS)
def test_what_a_stream_does_not_take_is_lost_without_an_error(error, patience):
    shown = Display(Broken(error), patience)
    print("epoch 1", file=shown, flush=True)
    assert shown.lost is error


def test_a_stream_that_is_none_or_closed_takes_nothing():
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        shown = Display(stream)
        print("epoch 1", file=shown, flush=True)
        assert (shown.isatty(), shown.lost is None) == (False, False)
        with pytest.raises(StorageError, match=r"standard output: .*closed"):
            shown.require()


class Raising:
    """A host's object of which nothing can be asked."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError("deleted")


@pytest.mark.parametrize("made", [object, Raising, int])
def test_an_object_that_is_no_stream_at_all_takes_nothing(made, monkeypatch):
    monkeypatch.setattr(sys, "stdout", made())
    monkeypatch.setattr(sys, "stderr", made())
    with displays() as (_, shown):
        print("epoch 1", flush=True)
        print("epoch 1", file=sys.stderr, flush=True)
    shown.silence()
    assert isinstance(shown.lost, AttributeError | RuntimeError)
    assert (shown.isatty(), shown.encoding, hasattr(shown, "buffer")) == (False, "utf-8", False)
    with pytest.raises(io.UnsupportedOperation):
        shown.fileno()


def test_what_ends_a_run_is_not_taken_for_a_lost_text():
    with pytest.raises(KeyboardInterrupt):
        Display(Broken(KeyboardInterrupt())).write("epoch 1")


def test_a_full_file_is_exit_4_where_its_text_was_wanted_and_a_reader_who_left_is_none():
    shown = Display(Broken(OSError(errno.ENOSPC, "No space left on device")))
    shown.write("table")
    with pytest.raises(StorageError, match="output: No space left on device; give") as error:
        shown.require()
    assert error.value.exit_code == 4
    shown = Display(Broken(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    shown.write("table")
    shown.require()


def test_a_stream_that_recovers_is_written_to_again():
    stream = Broken(OSError(errno.ENOSPC, "No space left on device"))
    shown = Display(stream)
    shown.write("lost")
    stream.write = lambda text: io.StringIO.write(stream, text)
    shown.write("seen")
    assert stream.getvalue() == "seen"


@pytest.mark.parametrize(
    ("encoding", "seen"),
    [("ascii", b"? 1 ??"), ("utf-8", "± 1 ?é".encode()), ("cp437", b"\xf1 1 ?\x82")],
)
def test_what_an_encoding_cannot_spell_is_a_question_mark(encoding, seen):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, errors="strict", write_through=True)
    Display(stream).write("± 1 \udcffé")
    assert raw.getvalue() == seen


def test_a_run_does_not_wait_for_a_reader_who_has_stopped():
    reading, writing = os.pipe()
    with open(reading, "rb") as reader, open(writing, "w") as stream:
        shown = Display(stream, patience=0.05)
        started = time.monotonic()
        for _ in range(3000):
            shown.write("x" * 99 + "\n")  # 300 kB into a pipe that holds 64
        assert time.monotonic() - started < 20
        assert isinstance(shown.lost, BlockingIOError)
        assert reader.read1(10**6).startswith(b"x" * 99 + b"\n")
        shown.write("again\n")
        assert reader.read1(10**6).endswith(b"again\n")


def test_inside_both_streams_are_displays_and_afterwards_what_they_were(monkeypatch):
    before = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", before[0])
    monkeypatch.setattr(sys, "stderr", before[1])
    with displays() as outer:
        with displays() as inner:
            print("seen")
        assert (sys.stdout, sys.stderr) == outer == inner
    assert (sys.stdout, sys.stderr) == before
    assert before[0].getvalue() == "seen\n"


def test_a_file_of_a_run_never_gets_the_number_of_a_closed_standard_file(tmp_path):
    code = (
        f"from {occupy_standard_files.__module__} import occupy_standard_files\n"
        "occupy_standard_files()\n"
        f"file = open({str(tmp_path / 'kept')!r}, 'wb')\n"
        "assert file.fileno() > 2\n"
        "import os; os.write(1, b'noise'); os.write(2, b'noise')\n"
    )
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    assert subprocess.run(command, check=False).returncode == 0
    assert (tmp_path / "kept").read_bytes() == b""
