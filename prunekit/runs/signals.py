"""Signals ask a run to save and stop; a second one of any kind stops it at once.

In a worker of a sweep a second one is the first again, by another way, but for SIGINT.

A run looks for them between steps and rounds, where it can save. While it is set up, or scores,
it stops in the middle: a resume does that again, to the same bits.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import attrs

from prunekit.data.workers import ASKING
from prunekit.errors import Interrupted
from prunekit.storage.runfolder import RunFolder

WORKER = "PRUNEKIT_WORKER"
"""Set where a sweep's process may pass on a signal that came to this one as well."""
LOADER = re.compile(r"DataLoader worker \(pid.*(?:exited unexpectedly|killed by signal)")
POINTER = ctypes.sizeof(ctypes.c_void_p)
ACTION_BYTES = 512  # room for a `struct sigaction` of any system


class Stop(BaseException):
    """What ends work in its middle; no plugin's `except Exception` holds it up."""


@attrs.frozen
class Host:
    """What a signal did before the run took it.

    handler: as `signal.getsignal` says, None for one that is not Python's. action: what the
    operating system holds, where it can be asked: Python does not know of handlers that a library
    has installed.
    """

    signum: int
    handler: Any
    action: Any

    @classmethod
    def of(cls, signum: int) -> Host:
        return cls(signum, signal.getsignal(signum), _action(signum))

    @property
    def handles(self) -> bool:
        """Whether the program had a handler of its own, Python's or not."""
        raw = b"" if self.action is None else self.action.raw[:POINTER]
        foreign = int.from_bytes(raw, sys.byteorder) > 1  # 0 is SIG_DFL, 1 SIG_IGN
        ours = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
        return foreign if self.handler is signal.SIG_DFL else self.handler not in ours

    def restore(self) -> None:
        """Let the signal do again what it did."""
        signal.signal(self.signum, signal.SIG_DFL if self.handler is None else self.handler)
        if self.action is not None:
            _sigaction(self.signum, self.action, None)


class Stopper:
    """While entered, remembers the first signal; `stop_if_asked` raises Interrupted for it.

    On leaving, each signal does again what it did before, and a signal that came is handed to the
    program's own handler, if it has one; Interrupted is raised if that returns. Outside the main
    thread signals are left alone, ignored ones too (SIGINT, which shells ignore for jobs in the
    background, is not), and SIGTERM in a submitit job, whose other signal asks for the same.

    says: what Interrupted says after the signal's name; without, what has become of the run.
    """

    def __init__(self, folder: Path, says: Callable[[], str] | None = None) -> None:
        self.folder, self.signum, self.in_middle = RunFolder(folder), 0, False
        self.at_once = False
        self.says = says or self._run
        self._process, self._hosts = os.getpid(), dict[int, Host]()

    def __enter__(self) -> Stopper:
        if threading.current_thread() is threading.main_thread():
            for signum in asking():
                self._hosts[signum] = Host.of(signum)
                signal.signal(signum, self._note)
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        for host in self._hosts.values():
            host.restore()
        if not self.signum:
            return
        if self._hosts[self.signum].handles:
            signal.raise_signal(self.signum)
        if error is None or isinstance(error, Stop) or _comes_of_stop(error):
            raise self.interrupted() from None

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a child that was forked inside
            self._hosts[signum].restore()
            if signum != signal.SIGINT:  # the parent has it too, and ends its children
                signal.raise_signal(signum)
        elif not self.signum:
            self.signum = signum
            self.look()
        elif signum == signal.SIGINT:
            raise KeyboardInterrupt
        elif not self._again(signum):
            self.at_once = True
            raise Stop

    def _again(self, signum: int) -> bool:
        """Whether a second signal is the first one, repeated by a machine."""
        each_second = signum == self.signum == getattr(signal, "SIGXCPU", 0)
        return each_second or WORKER in os.environ

    def look(self) -> None:
        """Raise Stop when a signal has come, where work may end in its middle."""
        if self.signum and self.in_middle:
            raise Stop

    def may_stop(self, anywhere: bool) -> None:
        """Whether, from now on, work may end in its middle."""
        self.in_middle = anywhere
        self.look()

    @contextlib.contextmanager
    def anywhere(self) -> Iterator[None]:
        """Inside, work may end in its middle."""
        self.may_stop(True)
        try:
            yield
        finally:
            self.in_middle = False

    def stop_if_asked(self) -> None:
        """Raise Interrupted (exit code 130 or 143) when a signal has come and all is saved."""
        if self.signum:
            raise self.interrupted()

    def interrupted(self) -> Interrupted:
        """What a signal came to."""
        return Interrupted(f"{signal.Signals(self.signum).name}: {self.says()}", self.signum)

    def _run(self) -> str:
        """The run folder as it stands."""
        folder = self.folder
        if folder.summary.is_file():
            return f"the run is finished; `prunekit show {folder.path}` shows it"
        if folder.holds_run():
            if self.at_once:
                return (
                    f"stopped before it saved; `prunekit resume {folder.path}` goes on from before"
                )
            return f"saved; continue with `prunekit resume {folder.path}`"
        return f"nothing was begun in {folder.path}; run it again"


def asking() -> list[int]:
    """The signals that ask a run to stop, of this system, but those that the program ignores."""
    found = [int(getattr(signal, name)) for name in ASKING if hasattr(signal, name)]
    if "SUBMITIT_EXECUTOR" in os.environ:
        found.remove(signal.SIGTERM)
    return [n for n in found if n == signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]


def _comes_of_stop(error: BaseException | None) -> bool:
    """Whether an error was raised in place of Stop, or as the signal ended a loader process."""
    while error is not None and not isinstance(error, Stop) and not LOADER.match(str(error)):
        error = error.__cause__ or error.__context__
    return error is not None


def _action(signum: int) -> Any:
    """What the operating system does on a signal; None where it cannot be asked."""
    action = ctypes.create_string_buffer(ACTION_BYTES)
    return action if _sigaction(signum, None, action) else None


def _sigaction(signum: int, new: Any, old: Any) -> bool:
    """`sigaction` of the C library; False where there is none."""
    if os.name != "posix":
        return False
    return int(ctypes.CDLL(None).sigaction(signum, new, old)) == 0
