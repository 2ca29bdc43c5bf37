"""What every observer must do; each check's docstring is a sentence of the contract.

An observer has state, so a check is given a function that makes a fresh one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from prunekit.contracts import Observer
from prunekit.testing import tiny


def lines() -> list[dict[str, Any]]:
    """The metrics lines of one round and one epoch."""
    return [
        {"kind": "round", "round": 0, "kept": 40, "density": 0.4, "score_seconds": 0.1},
        {"kind": "epoch", "epoch": 0, "train.loss": 1.5, "test.accuracy": 0.5, "lr": 0.1},
    ]


def watch(observer: Observer, shown: list[dict[str, Any]]) -> None:
    """One short run in a folder of its own: start, each line, finish."""
    with tempfile.TemporaryDirectory() as folder:
        observer.start({"folder": folder, "epochs": 1, "rounds": 1})
        for line in shown:
            observer.record(line)
        observer.finish({"test.accuracy": 0.5, "density": 0.4, "kept": 40, "maskable": 100})


def check_a_run_is_watched(make: Callable[[], Observer]) -> None:
    """It takes the three calls of a run: start(plan), record(line) and finish(summary)."""
    observer = make()
    for method in ("start", "record", "finish"):
        assert callable(getattr(observer, method, None)), f"the observer has no method {method!r}"
    with tiny.global_chance(0):
        watch(observer, lines())


def check_unknown_keys_are_let_pass(make: Callable[[], Observer]) -> None:
    """A line of another kind, or with keys it does not know, is no error."""
    shown: list[dict[str, Any]] = [
        {"kind": "note", "text": "new"},
        {"kind": "epoch", "epoch": 0, "new": None},
    ]
    try:
        with tiny.global_chance(0):
            watch(make(), shown)
    except (KeyError, TypeError, ValueError) as error:
        raise AssertionError(f"a line with other keys raises {error!r}") from None


def check_lines_are_as_before(make: Callable[[], Observer]) -> None:
    """The lines it is shown still hold the same keys and values: others read them too."""
    shown = lines()
    with tiny.global_chance(0):
        watch(make(), shown)
    assert shown == lines(), "the observer changed a metrics line"


def check_two_observers_share_nothing(make: Callable[[], Observer]) -> None:
    """Each run gets a fresh observer."""
    assert make() is not make(), "two runs share one observer; make it in the hook"


def check_global_generators_are_untouched(make: Callable[[], Observer]) -> None:
    """The global generators of torch, NumPy and Python stand where they stood."""
    observer = make()
    with tiny.chance_unmoved("the observer moved a global generator"):
        watch(observer, lines())


CHECKS = (
    check_a_run_is_watched,
    check_unknown_keys_are_let_pass,
    check_lines_are_as_before,
    check_two_observers_share_nothing,
    check_global_generators_are_untouched,
)
