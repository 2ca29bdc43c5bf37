"""How a sweep goes on, for who watches: one display on a terminal, else a line for each trial."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import LockedError, printable
from prunekit.spec.tasks import Outcome
from prunekit.storage.runfolder import RunFolder
from prunekit.sweeps.places import Place

TAIL = 4096
"""Bytes at the end of a file of metrics that hold its last line, or there is none to show."""
CLOCK = 1.0
"""Seconds by which a file's clock may be behind ours."""
MOST_SHOWN = 12
"""Running trials that the display shows."""


@attrs.define(eq=False)
class Progress:
    """Counts, and what each running trial has come to. Trials are read from their folders.

    total: trials of the sweep. done, failed: of these already. places: of those to do, by name.
    say: is given a line; on a terminal, none but for failures.
    """

    total: int
    done: int
    failed: int
    places: Mapping[str, Place]
    say: Callable[[str], object]
    terminal: bool = attrs.field(factory=lambda: sys.stderr.isatty())
    began: float = attrs.field(factory=time.time)
    ended: set[str] = attrs.field(factory=set)

    def tell(self, outcome: Outcome) -> None:
        """Count what has ended, and say so."""
        self.ended.add(outcome.name)
        self.done += outcome.code == 0
        self.failed += is_failure(outcome.code)
        if self.terminal and outcome.code == 0:
            return
        self.say(f"{self.done + self.failed} of {self.total}: {self._ending(outcome)}")

    def _ending(self, outcome: Outcome) -> str:
        if is_failure(outcome.code):
            log = self.places[outcome.name].log
            why = f"exit code {outcome.code}: {outcome.reason}"
            return f"{outcome.name} failed ({why}); its output: {log}"
        if outcome.code == LockedError.exit_code:
            return f"{outcome.name} is not run now, and goes on with the sweep: {outcome.reason}"
        if outcome.code != 0:
            return f"{outcome.name} was stopped, and goes on when the sweep does"
        left = self.time_left()
        return f"{outcome.name} done{self._reached(outcome.name)}{f'; {left}' if left else ''}"

    def _reached(self, name: str) -> str:
        with contextlib.suppress(OSError, ValueError):
            text = RunFolder(self.places[name].folder).summary.read_bytes()
            accuracy = json.loads(text).get("test.accuracy")
            return "" if accuracy is None else f", test.accuracy {accuracy:.4f}"
        return ""

    def running(self) -> list[str]:
        """The trials that have begun since this start and have not ended."""
        waiting = ((name, place) for name, place in self.places.items() if name not in self.ended)
        return [name for name, place in waiting if changed_at(place.log) >= self.began - CLOCK]

    def time_left(self) -> str:
        """About how long the rest takes, by how long what has ended took; "" before that."""
        ended, left = len(self.ended), len(self.places) - len(self.ended)
        if not ended or not left:
            return ""
        return f"about {duration((time.time() - self.began) / ended * left)} left"

    def line(self) -> str:
        """The whole in a line."""
        counts = [f"{self.done} of {self.total} done", f"{len(self.running())} running"]
        counts += [f"{self.failed} failed"] if self.failed else []
        return ", ".join([*counts, *filter(None, [self.time_left()])])

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Inside, a terminal shows how it goes on, anew each second."""
        if not self.terminal:
            yield
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        with Live(
            console=console, get_renderable=self._drawn, refresh_per_second=1, transient=True
        ):
            yield

    def _drawn(self) -> Any:
        from rich.text import Text

        names = self.running()
        lines = [self.line()]
        for name in names[:MOST_SHOWN]:
            lines.append(f"  {name}  {last_line(self.places[name].folder)}")
        if len(names) > MOST_SHOWN:
            lines.append(f"  and {len(names) - MOST_SHOWN} more")
        return Text(printable_lines(lines), no_wrap=True, overflow="ellipsis")


def printable_lines(lines: list[str]) -> str:
    return "\n".join(map(printable, lines))


def is_failure(code: int) -> bool:
    """Whether a trial that ended so has failed, and was not merely stopped, or in use elsewhere."""
    return code not in (0, LockedError.exit_code, 130, 143)


def changed_at(path: Path) -> float:
    """When a file was last written, in seconds; 0 where it is not there."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def last_line(folder: Path) -> str:
    """What the last line of a run's metrics says, in a few words."""
    try:
        with open(RunFolder(folder).metrics, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            line = dict(json.loads(file.read().splitlines()[-1]))
    except (OSError, ValueError, TypeError, IndexError):
        return "begins"
    keys = ("phase", "round", "epoch", "test.accuracy", "train.loss")
    pairs = [f"{key} {line[key]:.4g}" if isinstance(line[key], float) else f"{key} {line[key]}"
             for key in keys if key in line]  # fmt: skip
    return ", ".join(pairs)


def duration(seconds: float) -> str:
    """A time as people say it: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
