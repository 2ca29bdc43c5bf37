"""A run from Python whose host shows nothing: the progress is lost, the run is not."""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tinyruns import FUSE, Watcher, assert_same, left_by, run_tiny, tiny_spec


class Lost(io.StringIO):
    """A stream that can no longer be written to."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


class Widget:
    """A host's window, which shows text as long as it exists; it holds none back."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return len(text)


LOST = [
    None,
    Lost(BrokenPipeError(errno.EPIPE, "Broken pipe")),
    Lost(OSError(errno.ENOSPC, "No space left on device")),
    Lost(ValueError("I/O operation on closed file.")),
    Widget(),
    Widget(RuntimeError("wrapped C/C++ object of type QTextEdit has been deleted")),
]
NAMES = ["None", "broken", "full", "closed", "no flush", "deleted"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    FUSE.burn(10**9)
    out = tmp_path_factory.mktemp("whole")
    run_tiny(tiny_spec(observers=("progress", "fuse")), out)
    return left_by(out)


@pytest.mark.parametrize("stream", LOST, ids=NAMES)
def test_a_host_without_a_display_gets_the_same_run(
    stream: Any, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(self: Watcher, line: Any) -> None:
        print("to stdout", line)
        print("to stderr", line, file=sys.stderr)

    monkeypatch.setattr(Watcher, "record", record)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    FUSE.burn(10**9)
    run_tiny(tiny_spec(observers=("progress", "fuse")), tmp_path / "run")
    assert sys.stdout is sys.stderr is stream
    assert_same(whole, left_by(tmp_path / "run"))
