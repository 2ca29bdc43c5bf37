"""slurm: arrays of jobs by submitit; a cluster is emulated by its commands, or by this machine."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys

import attrs
import pytest

from prunekit import Outcome, PrunekitError, SpecError, testing, work
from prunekit.testing.engines import net, once, task
from tests.sweeps.traces import bits, pids

if importlib.util.find_spec("submitit") is None:
    pytest.skip("submitit is not installed: pip install 'prunekit[slurm]'", allow_module_level=True)

from prunekit_plugins.slurm import Job, Slurm

LOCAL = Slurm(cluster="local", cpus=1)


@testing.check_engines(LOCAL)
def test_slurm_keeps_the_engine_contract(engine, check):
    check(engine)


@pytest.mark.parametrize("name", ["USR1", "USR2"])
def test_a_trial_that_is_preempted_is_requeued_and_ends_in_the_same_bits(
    name, tmp_path, monkeypatch
):
    monkeypatch.setenv("SUBMITIT_PREEMPT_SIGNAL", name)
    arch, mark = net(tmp_path, once(f"SIG{name}"))
    tasks = [task(tmp_path, "preempted", arch, 4), task(tmp_path, "other")]
    outcomes = list(LOCAL.work(tasks))
    assert sorted(outcomes, key=str) == [Outcome("other", 0), Outcome("preempted", 0)]
    assert mark.exists()
    log = (tmp_path / "preempted.log").read_text()
    assert "goes on from checkpoint" in log
    assert len({*pids(tmp_path / "preempted.log")}) == 2
    assert work(task(tmp_path, "undisturbed", arch, 4)).code == 0
    assert bits(tmp_path / "preempted") == bits(tmp_path / "undisturbed")


FAKE = """#!{python}
import os, pathlib, shutil, sys
here, name = pathlib.Path({here!r}), pathlib.Path(sys.argv[0]).name
with open(here / "asked", "a") as file:
    print(name, *sys.argv[1:], file=file)
if name == "sbatch":
    number = 100 + len([*here.glob("script-*")])
    shutil.copy(sys.argv[1], here / f"script-{{number}}")
    print(f"Submitted batch job {{number}}")
elif name == "scontrol":
    print("MaxArraySize            = {most}")
elif name == "sacct":
    print("JobID|State|NodeList")
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster that takes arrays of 40 jobs and runs none; what it is asked stands in a file."""
    here = tmp_path / "cluster"
    here.mkdir()
    for name in ("sbatch", "srun", "scontrol", "sacct", "scancel", "squeue"):
        (here / name).write_text(FAKE.format(python=sys.executable, here=str(here), most=40))
        (here / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(here), prepend=os.pathsep)
    return here


def parameters(script):
    """The flags of sbatch in a script."""
    lines = [
        line.split(maxsplit=1)[1] for line in script.splitlines() if line.startswith("#SBATCH")
    ]
    return dict(line.removeprefix("--").partition("=")[::2] for line in lines)


def test_the_script_of_an_array_says_its_time_its_signal_and_that_it_is_requeued(tmp_path, cluster):
    (cluster / "scontrol").unlink()  # then an array may have 1000
    engine = Slurm(
        time=90, at_once=8, cpus=4, gpus=1, memory=12.5, partition="gpu", sbatch=("qos=long",)
    )
    tasks = [task(tmp_path, f"t{n}") for n in range(90)]
    tasks = [attrs.evolve(one, spec=one.spec.replace("cpu", "cuda")) for one in tasks]
    script = engine.script(tasks)
    found = parameters(script)
    assert found["array"] == "0-89%8"
    assert found["time"] == "90"
    assert found["signal"] == "USR2@90"
    assert "requeue" in found
    assert (found["cpus-per-task"], found["gpus-per-node"], found["mem"]) == ("4", "1", "12800MB")
    assert (found["partition"], found["qos"], found["open-mode"]) == ("gpu", "long", "append")
    assert "-m submitit.core._submit" in script.splitlines()[-1]
    assert not list(cluster.glob("script-*"))  # nothing was submitted


def test_an_array_longer_than_the_cluster_takes_is_cut_and_shares_out_the_jobs_at_once(
    tmp_path, cluster
):
    outcomes = Slurm(at_once=9).work([task(tmp_path, f"t{n}") for n in range(90)])
    until_submitted(outcomes)
    scripts = [path.read_text() for path in sorted(cluster.glob("script-*"))]
    arrays = [parameters(script)["array"] for script in scripts]
    assert arrays == ["0-39%3", "0-39%3", "0-9%3"]


def test_several_trials_may_share_a_job(tmp_path, cluster):
    script = Slurm(per_job=30).script([task(tmp_path, f"t{n}") for n in range(90)])
    assert parameters(script)["array"] == "0-2%3"


def until_submitted(outcomes):
    """Let an engine submit, then end the sweep as Ctrl-C does."""

    def pressed(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, pressed)
    signal.setitimer(signal.ITIMER_REAL, 3.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(outcomes)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_sweep_that_is_stopped_has_its_jobs_save_and_requeues_none(tmp_path, cluster):
    until_submitted(Slurm().work([task(tmp_path, f"t{n}") for n in range(3)]))
    asked = (cluster / "asked").read_text().splitlines()
    assert asked[-4:] == [
        "scancel --state=PENDING 100", "scancel --signal=USR2 100", "squeue -h -j 100",
        "scancel 100",
    ]  # fmt: skip
    (stop,) = (tmp_path / ".slurm").glob("stop-*")
    assert Job([], 0, stop).checkpoint() is None
    stop.unlink()
    assert Job([], 0, stop).checkpoint() is not None


def test_where_there_is_no_cluster_that_is_said_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrunekitError, match=r'^submitit: Could not detect "srun", are you indeed'):
        next(Slurm().work([task(tmp_path, "a")]))


def test_what_is_given_to_sbatch_has_a_key_and_a_value():
    with pytest.raises(SpecError, match="sbatch takes key=value, as account=me: 'exclusive'"):
        Slurm(sbatch=("exclusive",))


def test_a_trial_that_is_stopped_ends_its_job_and_the_next_is_not_begun(tmp_path):
    arch, _ = net(tmp_path, "os.kill(os.getpid(), signal.SIGINT)")
    tasks = [task(tmp_path, "stopped", arch, 4), task(tmp_path, "next")]
    assert [one["code"] for one in Job(tasks, 1, tmp_path / "stop")()] == [130]
    assert not (tmp_path / "next").exists()


def test_a_job_that_ends_in_an_error_of_its_own_has_failed_and_says_why(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("class Text(str): ...")
    monkeypatch.syspath_prepend(str(tmp_path))  # of this process: the job's does not find it
    name = importlib.import_module("only_here").Text("a")
    one = attrs.evolve(task(tmp_path, "a"), name=name)
    assert list(LOCAL.work([one])) == [
        Outcome("a", 1, "ModuleNotFoundError: No module named 'only_here'")
    ]
