"""Progress of a run on stderr: a bar in a terminal, a plain line an epoch elsewhere.

No paper. Differs from a paper: nothing is measured here; it shows the metrics lines as they come.
A pipe or a log file gets one line for each epoch and about ten for all rounds, with no control
codes in them; NO_COLOR is respected.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import prunekit

NARROW = 20  # columns; a narrower terminal wraps


def in_words(line: Mapping[str, Any]) -> str:
    """A metrics line in words: "epoch 3: train.loss 0.4123, test.accuracy 0.9012"."""
    if line.get("kind") == "round":
        kept, density = line.get("kept", 0), line.get("density", math.nan)
        empty = f", {len(line['empty'])} layers empty" if line.get("empty") else ""
        asked = line.get("asked", density)
        off = abs(density - asked) * kept / density if density else 0.0  # in weights
        other = f" (asked {asked:.4g})" if off > max(1, kept / 100) else ""
        return f"round {line.get('round')}: kept {kept:,}, density {density:.4g}{other}{empty}"
    phase = "" if line.get("phase", "final") == "final" else f"{line['phase']}, "
    measured = "accuracy" if line.get("test.accuracy") is not None else "loss"
    keys = ("train.loss", "train.accuracy", f"validation.{measured}", f"test.{measured}", "lr")
    numbers = ", ".join(f"{key} {line[key]:.4g}" for key in keys if line.get(key) is not None)
    return f"{phase}epoch {line.get('epoch')}: {numbers}"


def tell_of_resume(console: Console, plan: Mapping[str, Any]) -> None:
    """A line on where a run goes on from that is resumed."""
    if plan.get("resumed"):
        console.print(str(plan["resumed"]), soft_wrap=True)


class PlainLines:
    """A line for each epoch, and for about every tenth part of the rounds."""

    def __init__(self, console: Console) -> None:
        self.console, self.every, self.last = console, 1, 0

    def start(self, plan: Mapping[str, Any]) -> None:
        self.last = int(plan.get("rounds") or 1)
        self.every = math.ceil(self.last / 10)
        tell_of_resume(self.console, plan)

    def record(self, line: Mapping[str, Any]) -> None:
        round_ = int(line.get("round", 0))
        due = line.get("kind") == "round" and (round_ % self.every == 0 or round_ == self.last)
        if due or line.get("kind") == "epoch":
            self.console.print(in_words(line), soft_wrap=True)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Nothing: the report follows."""


class Bars:
    """One bar for the rounds and one for the epochs of the final training."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
        )
        self.bars = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        weakref.finalize(self, self.bars.stop)  # a run that fails gets its cursor back
        self.tasks: dict[str, Any] = {}
        self.totals: dict[str, int | None] = {}

    def start(self, plan: Mapping[str, Any]) -> None:
        self.totals = {"round": plan.get("rounds"), "epoch": plan.get("epochs")}
        tell_of_resume(self.bars.console, plan)

    def record(self, line: Mapping[str, Any]) -> None:
        kind = str(line.get("kind"))
        between = kind == "epoch" and line.get("phase", "final") != "final"
        if kind not in self.totals or between:
            return
        if kind not in self.tasks:  # the display starts late, so that an error before it is plain
            self.bars.start()
            self.tasks[kind] = self.bars.add_task(kind, total=self.totals.get(kind))
        self.bars.update(self.tasks[kind], completed=line.get(kind, 0), description=in_words(line))
        if line.get(kind) == self.totals.get(kind):
            self.bars.stop()
            self.bars.remove_task(self.tasks.pop(kind))

    def finish(self, summary: Mapping[str, Any]) -> None:
        self.bars.stop()


@prunekit.hookimpl
def prunekit_observers() -> list[Any]:
    console = Console(file=sys.stderr, stderr=True, markup=False, highlight=False)
    console.width = max(console.width, NARROW)  # rich prints nothing where COLUMNS is 0
    animated = console.is_terminal and not console.is_dumb_terminal
    return [Bars(console) if animated else PlainLines(console)]
