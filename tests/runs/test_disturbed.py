"""A run that everything happens to ends in the bits of one that was left alone."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import prunekit
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.storage.texts import read_toml

EPOCHS = 20
SPEC = """
device = "cpu"
scorer = "snip"
sampler = "topk"
reinit = { name = "iterand", rate = 0.3 }
arch = { name = "mlp", hidden = [128] }
rounds = { count = 2, epochs = 1 }
train = { epochs = 20, batch_size = 16, lr = 0.01, checkpoint_every = 40 }
"""


def started(*arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "prunekit", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_epoch(out: Path, epoch: int, process: subprocess.Popen[bytes]) -> None:
    """Until the final training has so many epochs behind it."""
    while process.poll() is None:
        found = [line for line in lines(out) if (line["kind"], line["phase"]) == ("epoch", "final")]
        if len(found) >= epoch:
            return
        time.sleep(0.01)
    pytest.fail(f"ended with {process.returncode} before epoch {epoch}")


def lines(out: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics; a round has no phase."""
    path = out / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    whole = text.rpartition("\n")[0].splitlines()
    return [{"phase": None} | json.loads(line) for line in whole]


def left_by(out: Path) -> dict[str, Any]:
    """The tensors of a finished run, and its lines and figures but for the seconds."""
    summary = json.loads((out / "summary.json").read_text())
    files = {path.name: path.read_bytes() for path in out.glob("*.safetensors")}
    return files | {"lines": [timeless(line) for line in lines(out)], "summary": timeless(summary)}


def timeless(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if not key.endswith("seconds")}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit")
def test_a_lost_reader_a_full_disk_and_two_kills_change_no_bit(tmp_path: Path) -> None:
    spec, out = tmp_path / "spec.toml", tmp_path / "disturbed"
    spec.write_text(SPEC)
    plugins = Plugins()
    prunekit.run(structure(read_toml(spec), plugins), tmp_path / "whole", plugins=plugins)

    with started("run", spec, "--out", out) as process:
        assert process.stderr is not None
        wait_for_epoch(out, 1, process)
        process.stderr.close()  # who read along has gone
        wait_for_epoch(out, 4, process)
        full = (out / "metrics.jsonl").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (full, full))
        assert process.wait(timeout=60) == 4
    assert (out / "metrics.jsonl").read_bytes().endswith(b"}\n")

    for epoch in (8, 14):  # the disk has been emptied
        with started("resume", out) as process:
            wait_for_epoch(out, epoch, process)
            process.kill()

    with started("resume", out) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert len(left_by(out)["lines"]) >= EPOCHS
    assert left_by(out) == left_by(tmp_path / "whole")
