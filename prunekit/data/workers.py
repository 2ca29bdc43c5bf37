"""Loader processes and signals: one that is sent to the whole group is for their parent alone."""

from __future__ import annotations

import os
import signal
import threading

ASKING = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGXCPU")
"""What asks a run to save and stop."""


def leave_signals_to_parent(_: int = 0) -> None:
    """In a loader process: the parent still needs batches to come to a place where it can save.

    It ends its loaders itself: SIGTERM still does that, when it is the parent who sends it.
    """
    for name in ASKING:
        if hasattr(signal, name) and name != "SIGTERM":
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    """End the process when its parent asks for it."""
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)
