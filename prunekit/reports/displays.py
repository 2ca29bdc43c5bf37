"""Standard output and error as displays: what they cannot take is lost, and no work with it."""

from __future__ import annotations

import contextlib
import errno
import io
import operator
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

from prunekit.errors import StorageError

PATIENCE = 1.0  # seconds that a run waits for a reader of its standard error who has stopped
PIECE = 1024  # characters; as UTF-8 no more bytes than a pipe with any room takes at once


class Display(io.TextIOBase):
    """A stream over another that never raises; what the other does not take is lost.

    A host's stream may be any object, so any Exception of it is lost text; a signal's is not.

    stream: None is a closed one. patience: seconds that a write waits for a reader, then the text
    is lost, and so is what follows until he reads again; None = as long as it takes. lost: why
    text was lost first.
    """

    def __init__(self, stream: Any, patience: float | None = None) -> None:
        super().__init__()
        self.stream, self.patience, self.wait = stream, patience, patience
        self.lost: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self.stream, name)
        except Exception:  # anyone's stream may raise anything, here and below
            raise AttributeError(name) from None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        found = None
        with contextlib.suppress(Exception):
            found = self.stream.encoding
        return found if isinstance(found, str) and found else "utf-8"

    def write(self, text: str) -> int:
        size = len(text) if self.patience is None else PIECE
        with self._losing():
            for at in range(0, len(text), size or 1):
                self._put(text[at : at + size])
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        with self._losing():
            if self.stream is not None:
                self.stream.flush()

    def isatty(self) -> bool:
        with contextlib.suppress(Exception):
            return bool(self.stream.isatty())
        return False

    def fileno(self) -> int:
        """io.UnsupportedOperation where the stream below has none."""
        try:
            return operator.index(self.stream.fileno())
        except Exception:
            raise io.UnsupportedOperation("fileno") from None

    def close(self) -> None:
        """Nothing: the stream below is another's."""

    def require(self) -> None:
        """StorageError where text was lost, unless its reader left."""
        self.flush()
        if self.lost is not None and getattr(self.lost, "errno", None) != errno.EPIPE:
            reason = getattr(self.lost, "strerror", None) or self.lost
            raise StorageError(
                f"cannot write to standard output: {reason}; give it to a file with room, or a pipe"
            )

    def silence(self) -> None:
        """Where text was lost, let what is still held back for the file go nowhere."""
        if self.lost is not None:
            with contextlib.suppress(Exception):
                self.stream.flush()
                return
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.lost = self.lost or error

    def _put(self, text: str) -> None:
        """Write to the stream below, with a "?" for what it cannot spell."""
        if self.stream is None:
            raise OSError(errno.EBADF, "it is closed")
        if self.patience is not None:
            self._await_reader()
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            self.stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
        if self.patience is not None:
            self.stream.flush()

    def _await_reader(self) -> None:
        """BlockingIOError where a write would wait for longer than our patience."""
        try:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLOUT)
        except (OSError, ValueError, AttributeError):
            return  # no file, or no poll here: nothing to wait for
        ready = poll.poll(1000 * (self.wait or 0))
        self.wait = self.patience if ready else 0
        if not ready:
            raise BlockingIOError(errno.EAGAIN, "nobody reads it")


@contextlib.contextmanager
def displays() -> Iterator[tuple[Display, Display]]:
    """Inside, sys.stdout and sys.stderr are displays, whoever prints there."""
    before = sys.stdout, sys.stderr
    mine = display(sys.stdout), display(sys.stderr, PATIENCE)
    sys.stdout, sys.stderr = mine
    try:
        yield mine
    finally:
        for one in mine:
            one.flush()
        if sys.stdout is mine[0]:
            sys.stdout = before[0]
        if sys.stderr is mine[1]:
            sys.stderr = before[1]


def display(stream: Any, patience: float | None = None) -> Display:
    """The stream, if it is a display already, or one over it."""
    return stream if issubclass(type(stream), Display) else Display(stream, patience)


def occupy_standard_files() -> None:
    """Open what of the files 0, 1 and 2 is closed, or a file of the run would get its number.

    Whatever writes there by number, as libraries in C do, would write into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
