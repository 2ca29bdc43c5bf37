"""Signals: the first is remembered, a second SIGINT stops at once, handlers are put back."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from prunekit.errors import Interrupted
from prunekit.runs.signals import Stopper


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGUSR1", 143), ("SIGINT", 130)])
def test_a_signal_is_remembered_until_it_is_asked_for(name: str, code: int) -> None:
    signum = getattr(signal, name)
    before = signal.getsignal(signum)
    with Stopper(Path("run")) as stopper:
        stopper.stop_if_asked()
        signal.raise_signal(signum)
        assert stopper.signum == signum
        text = f"{name}: saved; continue with `prunekit resume run`"
        with pytest.raises(Interrupted, match=text) as stopped:
            stopper.stop_if_asked()
    assert stopped.value.exit_code == code
    assert signal.getsignal(signum) is before


def test_a_second_interrupt_stops_at_once() -> None:
    with Stopper(Path("run")):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_first_signal_decides_the_exit_code() -> None:
    with Stopper(Path("run")) as stopper:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGINT") as stopped:
            stopper.stop_if_asked()
    assert stopped.value.exit_code == 130


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    found = []
    before = signal.getsignal(signal.SIGTERM)

    def enter() -> None:
        with Stopper(Path("run")) as stopper:
            found.append((stopper.signum, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [(0, before)]
