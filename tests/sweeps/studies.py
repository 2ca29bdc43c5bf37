"""What the tests of sweeps share: studies as TOML, and a small base."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from prunekit.sweeps.study import Study, study_from

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
