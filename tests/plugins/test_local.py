"""local: worker processes of this machine, each trial's end its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import attrs
import pytest
from prunekit_plugins.local import TASKS, Local, visible

from prunekit import Outcome, SpecError, testing, work
from prunekit.testing.engines import SLOWLY, net, task
from tests.sweeps.traces import bits, is_there, pids

GPUS = "CUDA_VISIBLE_DEVICES"


@testing.check_engines(Local())
def test_local_keeps_the_engine_contract(engine, check):
    check(engine)


def codes(outcomes):
    return {outcome.name: outcome.code for outcome in outcomes}


@pytest.fixture
def doing(tmp_path, monkeypatch):
    """Tasks by what they do in their process before torch is there: Python, run by an import."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def tasks(*texts):
        made = []
        for n, text in enumerate(texts):
            (tmp_path / f"odd_{tmp_path.name}_{n}.py").write_text(text)
            one = task(tmp_path, f"t{n}", f"odd_{tmp_path.name}_{n}:None")
            made.append(attrs.evolve(one, spec=one.spec.replace('device = "cpu"', "")))
        return made

    return tasks


def test_workers_give_the_bits_of_one_process_whatever_threads_this_one_has(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    tasks = [task(tmp_path, name, epochs=4) for name in "abc"]
    assert codes(Local(jobs=2).work(tasks)) == {"a": 0, "b": 0, "c": 0}
    assert work(task(tmp_path, "here", epochs=4)) == Outcome("here", 0)
    expected = bits(tmp_path / "here")
    assert [bits(tmp_path / name) == expected for name in "abc"] == [True] * 3
    assert len({pid for name in "abc" for pid in pids(tmp_path / f"{name}.log")}) == 2


def test_a_trial_whose_log_cannot_be_written_costs_no_other(tmp_path):
    (tmp_path / "a.log").mkdir()
    (tmp_path / "theirs").write_text("")
    (tmp_path / "b.log").symlink_to(tmp_path / "theirs")
    tasks = [task(tmp_path, name) for name in "abc"]
    assert codes(Local().work(tasks)) == {"a": 4, "b": 4, "c": 0}
    assert (tmp_path / "theirs").read_text() == ""


STRUCK_TWICE = """struck = len(MARK.read_text()) if MARK.exists() else 0
    if struck < 2:
        MARK.write_text("x" * (struck + 1))
        os.kill(os.getpid(), (signal.SIGTERM, signal.SIGKILL)[struck])"""


def test_a_signal_costs_a_trial_its_worker_and_neither_a_bit_nor_another_trial(tmp_path):
    arch, _ = net(tmp_path, STRUCK_TWICE)
    tasks = [task(tmp_path, "struck", arch, 4), task(tmp_path, "next")]
    assert codes(Local().work(tasks)) == {"struck": 0, "next": 0}
    log = (tmp_path / "struck.log").read_text()
    assert "SIGTERM: saved; continue with" in log
    assert "its process was killed by signal 9: too little memory? (attempt 2 of 3)" in log
    assert log.count("goes on from checkpoint") == 2
    assert len({*pids(tmp_path / "struck.log")}) == 3  # no process took another trial after it
    assert pids(tmp_path / "next.log") == pids(tmp_path / "struck.log")[2:]
    assert work(task(tmp_path, "undisturbed", arch, 4)).code == 0  # it is marked: nothing strikes
    assert bits(tmp_path / "struck") == bits(tmp_path / "undisturbed")


def test_a_trial_whose_process_dies_each_time_is_told_and_the_others_are_done(doing):
    outcomes = list(Local().work(doing("import os; os.kill(os.getpid(), 9)", "")))
    assert outcomes[0] == Outcome(
        "t0", -9, "its process was killed by signal 9: too little memory?"
    )
    assert codes(outcomes) == {"t0": -9, "t1": 2}


def test_a_process_that_ends_without_an_answer_has_not_done_its_trial(doing):
    (outcome,) = Local().work(doing("import os; print('leaving', flush=True); os._exit(0)"))
    assert outcome == Outcome("t0", 1, "its process ended with code 0: leaving")


def test_a_worker_is_replaced_after_a_lack_of_memory(doing, tmp_path):
    assert codes(Local().work(doing("", "raise MemoryError", ""))) == {"t0": 2, "t1": 3, "t2": 2}
    first, second, third = (pids(tmp_path / f"t{n}.log") for n in range(3))
    assert first == second != third


def test_a_worker_is_replaced_after_many_trials(doing, tmp_path):
    assert len(codes(Local().work(doing(*[""] * (TASKS + 1))))) == TASKS + 1
    done_by = [pids(tmp_path / f"t{n}.log")[0] for n in range(TASKS + 1)]
    assert len({*done_by[:-1]}) == 1
    assert done_by[-1] != done_by[0]


def test_a_worker_s_environment_is_set_before_it_imports_anything(doing, monkeypatch):
    monkeypatch.delenv(GPUS, raising=False)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", GPUS)
    text = (
        "import os, sys\nassert 'torch' not in sys.modules\n"
        f"raise MemoryError(' '.join(map(os.environ.get, {names})))"
    )
    engine = Local(devices=("cuda:0", "cuda:3"))
    said = " ".join(outcome.reason for outcome in engine.work(doing(text, text)))
    assert "1 1 0)" in said
    assert "1 1 3)" in said


def test_what_a_trial_prints_and_its_children_goes_to_its_log_alone(doing, tmp_path, capfd):
    text = (
        "import os, sys\nprint('said')\n"
        "os.system('echo by a child; echo aside >&2')\nsys.stdin.read()"
    )
    assert codes(Local().work(doing(text))) == {"t0": 2}
    lines = (tmp_path / "t0.log").read_text().splitlines()
    assert [line for line in lines if "said" in line or "child" in line or "aside" in line] == [
        "said", "by a child", "aside"
    ]  # fmt: skip
    assert capfd.readouterr() == ("", "")


SCRIPT = """
import json, sys
from prunekit import Task
from prunekit_plugins.local import Local
for outcome in Local().work([Task(**one) for one in json.load(open(sys.argv[1]))]):
    print(outcome)
"""
"""As one writes it, without `if __name__ == "__main__"`: a worker must not run it again."""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=lambda one: one.name)
def test_what_ends_the_sweep_s_process_has_what_runs_saved_and_nothing_more_begun(tmp_path, signum):
    arch, mark = net(tmp_path, SLOWLY)
    tasks = [task(tmp_path, "runs", arch, 2000), task(tmp_path, "waits", arch, 2000)]
    given, script = tmp_path / "tasks.json", tmp_path / "script.py"
    given.write_text(json.dumps([attrs.asdict(one) for one in tasks]))
    script.write_text(SCRIPT)
    path = os.pathsep.join(filter(None, sys.path))
    sweep = subprocess.Popen(
        [sys.executable, script, given], start_new_session=True, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    wait_until(mark.exists)
    os.killpg(sweep.pid, signum)  # as a terminal does
    assert sweep.wait(60) == -signum
    (worker,) = pids(tmp_path / "runs.log")
    if signum == signal.SIGKILL:
        wait_until(lambda: not is_there(worker))
    assert not is_there(worker)
    assert "SIGTERM: saved; continue with" in (tmp_path / "runs.log").read_text()
    assert not (tmp_path / "runs" / "summary.json").exists()
    assert not (tmp_path / "waits").exists()
    assert not (tmp_path / "waits.log").exists()


def wait_until(true):
    until = time.monotonic() + 60
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    assert true()


def test_cores_are_shared_out_among_the_trials_at_once():
    assert Local().threads == len(os.sched_getaffinity(0))
    assert Local(jobs=1000).threads == 1
    assert [Local().at_once, Local(devices=("cuda:0", "cuda:1")).at_once] == [1, 2]
    assert Local(jobs=3, devices=("cuda:0",)).at_once == 3


@pytest.mark.parametrize(
    ("device", "among", "expected"),
    [("cuda:1", None, "1"), ("cuda:1", "4,6", "6"), ("cuda:0", "GPU-5ebe, GPU-77", "GPU-5ebe")],
)
def test_a_gpu_is_counted_among_those_that_are_visible(device, among, expected):
    assert visible(device, among) == expected


def test_a_gpu_that_is_not_visible_is_refused_before_anything_begins(tmp_path, monkeypatch):
    monkeypatch.setenv(GPUS, "4")
    with pytest.raises(SpecError, match=r"--devices cuda:1: .*'4' shows 1 GPUs"):
        next(Local(devices=("cuda:1",)).work([task(tmp_path, "a")]))


def test_a_device_that_is_no_gpu_is_refused():
    with pytest.raises(SpecError, match="devices are GPUs to share out, as cuda:0,cuda:1: 'cpu'"):
        Local(devices=("cpu",))


def test_a_signal_that_comes_to_a_worker_twice_lets_it_save(tmp_path):
    twice = "os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGTERM)"
    arch, _ = net(tmp_path, f"if not MARK.exists():\n        MARK.touch()\n        {twice}")
    assert codes(Local().work([task(tmp_path, "a", arch, 4)])) == {"a": 0}
    log = (tmp_path / "a.log").read_text()
    assert "SIGTERM: saved; continue with" in log
    assert log.endswith("epoch 1, step 28\n")  # the step that was struck
