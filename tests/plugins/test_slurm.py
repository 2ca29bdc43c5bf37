"""slurm: arrays of jobs by submitit; a cluster is emulated by its commands, or by this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time

import pytest

from prunekit import Outcome, PrunekitError, SpecError, testing, work
from prunekit.testing.engines import SLOWLY, net, once, task
from tests.sweeps.traces import bits, pids

if importlib.util.find_spec("submitit") is None:
    pytest.skip("submitit is not installed: pip install 'prunekit[slurm]'", allow_module_level=True)

from prunekit_plugins.slurm import Slurm  # noqa: E402

LOCAL = Slurm(cluster="local", cpus=1)


@testing.check_engines(LOCAL)
def test_slurm_keeps_the_engine_contract(engine, check):
    check(engine)


def test_a_trial_that_is_preempted_is_requeued_and_ends_in_the_same_bits(tmp_path):
    arch, mark = net(tmp_path, once("SIGUSR2"))
    tasks = [task(tmp_path, "preempted", arch, 4), task(tmp_path, "other")]
    outcomes = list(LOCAL.work(tasks))
    assert sorted(outcomes, key=str) == [Outcome("other", 0), Outcome("preempted", 0)]
    assert mark.exists()
    log = (tmp_path / "preempted.log").read_text()
    assert "goes on from checkpoint" in log
    assert len({*pids(tmp_path / "preempted.log")}) == 2
    assert work(task(tmp_path, "undisturbed", arch, 4)).code == 0
    assert bits(tmp_path / "preempted") == bits(tmp_path / "undisturbed")
