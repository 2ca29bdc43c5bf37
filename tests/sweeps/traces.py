"""What a run leaves, for tests of engines: its bits, and the processes that did it."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from tests.tinyruns import timeless


def bits(run: Path) -> dict[str, Any]:
    """All that the spec decides of a finished run."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return {
        "model": (run / "model.safetensors").read_bytes(),
        "masks": (run / "masks.safetensors").read_bytes(),
        "metrics": [timeless(json.loads(line)) for line in lines],
        "summary": timeless(json.loads((run / "summary.json").read_text())),
    }


def pids(log: Path) -> list[int]:
    """The processes that worked on a trial, in order."""
    return [int(pid) for pid in re.findall(r", pid (\d+) on ", log.read_text())]


def is_there(pid: int) -> bool:
    """Whether a process exists, and is no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
