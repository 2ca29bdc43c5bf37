"""The whole, in processes of its own: killed without a word, twice, it ends in the same bits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.sweeps.studies import bits
from tests.tinyruns import assert_same

STUDY = """
seeds = 2
[base]
arch = "mlp"
dataset = "digits"
device = "cpu"
scorer = "magnitude"
train = { epochs = 25, batch_size = 32 }
[axes.method]
sparse.prune.density = 0.1
dense.prune.density = 1.0
wild.train.lr = 1e30
"""


def command(tmp_path, name):
    argv = ["sweep", str(tmp_path / "study.toml"), "--jobs", "2", "--threads", "1", "--out", name]
    return [sys.executable, "-m", "prunekit", *argv]


def started(tmp_path, name):
    """A sweep in a process group of its own."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        command(tmp_path, name), cwd=tmp_path, env=env, start_new_session=True, **pipes
    )


def wait_for(what, seconds=120.0):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.02)


def begun(out):
    """The runs that have trained an epoch and are not finished."""
    metrics = [path for path in out.rglob("metrics.jsonl") if path.stat().st_size]
    return [path for path in metrics if not (path.parent / "summary.json").exists()]


def workers(process):
    with contextlib.suppress(psutil.Error):
        return psutil.Process(process.pid).children()
    return []


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills by signals of POSIX")
def test_a_sweep_killed_twice_ends_in_the_bits_of_an_undisturbed_one(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    whole = started(tmp_path, "whole")
    out, err = whole.communicate()
    assert whole.returncode == 7, err
    assert "4 of 6 trials done" in out

    first = started(tmp_path, "killed")
    wait_for(lambda: len(begun(tmp_path / "killed")) == 2)
    orphans = workers(first)
    first.kill()
    first.communicate()
    psutil.wait_procs(orphans, timeout=60)
    assert not any(orphan.is_running() for orphan in orphans)

    second = started(tmp_path, "killed")
    wait_for(lambda: len(workers(second)) == 2 and len(begun(tmp_path / "killed")) == 2)
    for worker in workers(second):
        worker.kill()
    out, err = second.communicate()
    assert second.returncode == 7, err
    assert "4 of 6 trials done" in out
    assert_same(bits(tmp_path / "killed"), bits(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_saves_leaves_no_process_and_says_how_to_go_on(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    sweep = started(tmp_path, "out")
    wait_for(lambda: len(begun(tmp_path / "out")) == 2)
    left = workers(sweep)
    os.killpg(sweep.pid, signal.SIGINT)
    out, err = sweep.communicate(timeout=60)
    assert (sweep.returncode, out) == (130, "")
    last = err.splitlines()[-1]
    assert last.startswith("prunekit: SIGINT: 0 of 6 trials are done, the others saved; go on with")
    assert last.endswith(f"`prunekit sweep {tmp_path / 'out'}`")
    assert not any(worker.is_running() for worker in left)
    assert not [*(tmp_path / "out").rglob("*.failed.json")]
