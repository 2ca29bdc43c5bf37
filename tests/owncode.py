"""Code of one's own and of strangers, which writes a marker where it is executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.cli.entry import main

NET = """
from torch import nn
def build(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, classes))
"""
CLASS = """
import attrs
@attrs.frozen
class Build:
    def build(self, input_shape, classes):
        from torch import nn
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, classes))
"""
RUN = ["run", "--scorer", "magnitude", "--density", "0.5", "--epochs", "0", "--device", "cpu"]
Said = pytest.CaptureFixture[str]


def evil(marker: Path, code: str) -> str:
    return f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n{code}"


def own_run(place: Path, arch: str = "mine.py:build", **more: str) -> Path:
    """A finished run of the user's own."""
    options = [part for key, value in more.items() for part in (f"--{key}", value)]
    assert main([*RUN, "--arch", arch, *options, "--out", "own"]) == 0
    return place / "own"


def said(capsys: Said) -> str:
    """The one line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def unfinish(folder: Path) -> Path:
    """As a run that was killed before its end leaves it."""
    for name in ("summary.json", "model.safetensors", "masks.safetensors"):
        (folder / name).unlink()
    return folder
