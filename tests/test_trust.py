"""The rows of bench/trust.py in few cases: what prunekit survives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUPS = {
    "kills": ("R1", "R2", "R15"),
    "numbers": ("R3", "R5", "R6", "R7"),
    "strangers": ("R10", "R11", "R17", "R21"),
    "surroundings": ("R8", "R12", "R18", "R20"),
}
"""Named rows, so that a page of results is not written."""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("group", GROUPS)
def test_the_rows_reach_their_aims(group: str) -> None:
    command = [sys.executable, str(ROOT / "bench" / "trust.py"), "--ci", *GROUPS[group]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*GROUPS[group]]
