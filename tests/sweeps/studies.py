"""What the tests of sweeps share: studies as TOML, and a small base."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from prunekit.spec.tasks import Outcome, Task
from prunekit.sweeps.study import Study, study_from
from prunekit.sweeps.work import work
from tests.tinyruns import left_by

METHODS = """
seeds = 2
[base]
arch = "mlp"
dataset = "digits"
train.epochs = 2
published.source = "Paper, Table 1"
published.metric = "test.accuracy"
[axes]
prune.density = [0.5, 0.1]
prune.control = ["none", "shuffle"]
[axes.method]
dense = { scorer = "magnitude", prune.density = 1.0 }
snip.scorer = "snip"
edge-popup = { scorer = "edge-popup", init = "signed-constant" }
[[skip]]
method = "edge-popup"
prune.density = [0.5]
[[published]]
method = "snip"
prune.density = 0.1
mean = 0.976
std = 0.002
n = 20
"""


def study(text: str, folder: Path = Path()) -> Study:
    return study_from(tomllib.loads(text), "study", folder)


def cells(text: str) -> list[dict[str, Any]]:
    return [dict(cell) for cell, _ in study(text).cells()]


def tables(text: str) -> list[dict[str, Any]]:
    return [table for _, table in study(text).cells()]


FEW = """
[base]
arch = "mlp"
dataset = "digits"
device = "cpu"
observers = []
scorer = "magnitude"
train = { epochs = 1, batch_size = 512 }
[axes]
prune.density = [0.5, 0.1]
"""
"""Two trials of 0.1 s each."""


def few(**changes: Any) -> dict[str, Any]:
    """The table of two quick trials; changes: of the base's `train`."""
    table = tomllib.loads(FEW)
    table["base"]["train"] |= changes
    return table


def bits(out: Path) -> dict[str, Any]:
    """Everything of the finished runs below a folder that must be the same, bit by bit."""
    done = sorted(summary.parent for summary in out.rglob("summary.json"))
    return {str(folder.relative_to(out)): left_by(folder) for folder in done}


@attrs.frozen
class InPieces:
    """An engine that does so many trials in this process, then what `then` says."""

    count: int = 0
    then: Any = None
    threads = 1

    def work(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        for number, task in enumerate(tasks):
            if number == self.count and self.then is not None:
                self.then()
            yield work(task)
