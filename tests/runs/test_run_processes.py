"""Runs as processes: signals, one at a time in a folder, kills, and full disks."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prunekit.errors import StorageError
from prunekit.storage.checkpoints import load_checkpoint
from prunekit.storage.runfolder import RunFolder
from tests import tinyruns
from tests.tinyruns import FUSE, assert_same, left_by, resume_tiny, run_tiny, tiny_spec

ROOT = Path(__file__).parents[2]
DIGITS = """
observers = []
device = "cpu"
arch = { name = "mlp", hidden = [8] }
scorer = "magnitude"
sampler = "topk"
"""


@pytest.fixture(autouse=True)
def never_die() -> None:
    FUSE.burn(10**9)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "prunekit", *map(str, arguments)]


@pytest.fixture
def long_spec(tmp_path: Path) -> Path:
    """A spec that trains for minutes if nobody stops it."""
    path = tmp_path / "long.toml"
    path.write_text(DIGITS + "train = { epochs = 5000, checkpoint_every = 50 }\n")
    return path


def wait_for(found: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not found() and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, process.stderr.read() if process.stderr else ""


@pytest.mark.parametrize(("name", "code"), [("SIGUSR1", 143), ("SIGINT", 130)])
def test_a_signal_saves_and_ends_the_command(
    name: str, code: int, long_spec: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    start = command("run", long_spec, "--out", out)
    with subprocess.Popen(start, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        wait_for(lambda: any(out.glob("checkpoints/*/manifest.json")), process)
        process.send_signal(getattr(signal, name))
        _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error.decode() == f"prunekit: {name}: saved; continue with `prunekit resume {out}`\n"
    assert load_checkpoint(out / "checkpoints", RunFolder(out).spec_hash) is not None


def test_of_starts_in_one_folder_one_runs(long_spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    start = command("run", long_spec, "--out", out)
    processes = [subprocess.Popen(start, stderr=subprocess.PIPE) for _ in range(4)]
    ended = []
    while len(ended) < 3:
        ended = [process for process in processes if process.poll() is not None]
        time.sleep(0.05)
    (running,) = set(processes) - set(ended)
    again = subprocess.run(command("resume", out), capture_output=True, check=False)
    running.terminate()
    for process in ended:
        assert process.returncode == 5
        assert process.stderr is not None
        assert f"is in use by pid {running.pid} on ".encode() in process.stderr.read()
    assert (again.returncode, b"is in use by pid" in again.stderr) == (5, True)
    running.communicate(timeout=60)
    assert running.returncode == 143
    for process in ended:
        process.communicate()


@contextmanager
def files_up_to(limit: int) -> Iterator[None]:
    """No file may grow beyond `limit` bytes: a full disk that needs no root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_before_the_run_has_begun_leaves_nothing(tmp_path: Path) -> None:
    with files_up_to(1000), pytest.raises(StorageError, match=r"cannot write .* bytes") as error:
        run_tiny(tiny_spec(), tmp_path / "run")
    assert error.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_first_checkpoint_leaves_a_run_that_resumes(
    tmp_path: Path,
) -> None:
    run_tiny(tiny_spec(), tmp_path / "whole")
    folder = tmp_path / "run"
    with files_up_to(3000), pytest.raises(StorageError, match=r"cannot write .* bytes") as error:
        run_tiny(tiny_spec(), folder)
    assert error.value.exit_code == 4
    resume_tiny(folder)
    assert (folder / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_a_disk_that_is_full_keeps_the_last_checkpoint_and_whole_lines(tmp_path: Path) -> None:
    spec = tiny_spec(train={"epochs": 60, "batch_size": 36})
    run_tiny(spec, tmp_path / "whole")
    folder = RunFolder(tmp_path / "full")
    with files_up_to(12_000), pytest.raises(StorageError, match=r"metrics.jsonl: File too large"):
        run_tiny(spec, folder.path)
    found = load_checkpoint(folder.checkpoints, folder.spec_hash)
    assert found is not None
    assert found[1]["metrics_bytes"] == folder.metrics_bytes()
    assert folder.metrics.read_bytes().endswith(b"}\n")
    assert not list(tmp_path.rglob("*.tmp-*"))
    with files_up_to(12_000), pytest.raises(StorageError):
        tinyruns.resume_tiny(folder.path)
    tinyruns.resume_tiny(folder.path)
    assert_same(left_by(tmp_path / "whole"), left_by(folder.path))


def test_a_disk_that_is_full_at_the_end_is_no_traceback(tmp_path: Path) -> None:
    spec = tiny_spec()
    with files_up_to(15_000), pytest.raises(StorageError, match=r"plots/.*png .*File too large"):
        run_tiny(spec, tmp_path / "full")
    assert not (tmp_path / "full" / "summary.json").exists()
    tinyruns.resume_tiny(tmp_path / "full")
    assert (tmp_path / "full" / "plots" / "curves.png").exists()


KILLED = (
    DIGITS
    + """
reinit = { name = "iterand", rate = 0.3 }
prune = { density = 0.2 }
rounds = { count = 2, epochs = 1 }
train = { epochs = 2, accumulate = 2, optimizer = "adam", lr = 0.01, checkpoint_every = 3 }
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_at_random_moments_ends_in_the_same_bits(tmp_path: Path) -> None:
    spec = tmp_path / "killed.toml"
    spec.write_text(KILLED.replace('"topk"', '{ name = "sketch", form = "algorithm-1" }'))
    soak = [sys.executable, str(ROOT / "bench" / "soak.py"), "--kills", "4", "--spec", str(spec)]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "plugins")))
    done = subprocess.run(
        soak, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"4 kills: every bit the same, nothing left in TMPDIR" in done.stdout
