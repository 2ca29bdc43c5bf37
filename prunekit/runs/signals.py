"""SIGTERM, SIGUSR1 and SIGINT ask a run to save and stop; a second SIGINT stops at once."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from prunekit.errors import Interrupted


class Stopper:
    """While entered, remembers the first signal; `stop_if_asked` raises Interrupted for it."""

    def __init__(self) -> None:
        self.signum = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        if threading.current_thread() is threading.main_thread():
            names = ("SIGTERM", "SIGUSR1", "SIGINT")  # Windows has no SIGUSR1
            for signum in (getattr(signal, name) for name in names if hasattr(signal, name)):
                self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _note(self, signum: int, _: FrameType | None) -> None:
        if self.signum and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = self.signum or signum

    def stop_if_asked(self, folder: Path) -> None:
        """Raise Interrupted (exit code 130 or 143) when a signal has come."""
        if self.signum:
            name = signal.Signals(self.signum).name
            raise Interrupted(
                f"{name}: saved; continue with `prunekit resume {folder}`", self.signum
            )
