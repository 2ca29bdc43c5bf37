"""A task is done in this process: begun, gone on with, or left; its output goes to its log."""

from __future__ import annotations

import os
import signal
import sys
import threading

import attrs
import pytest
import torch

from prunekit import Outcome, work
from prunekit.storage.lock import FolderLock
from prunekit.sweeps import single
from prunekit.testing.engines import net, task
from tests.sweeps.traces import bits

STRUCK_ONCE = "if not MARK.exists():\n        MARK.touch()\n        os.kill(os.getpid(), signal.{})"


def test_a_finished_run_is_left_as_it_is(tmp_path):
    one = task(tmp_path, "a")
    assert work(one) == Outcome("a", 0)
    before = bits(tmp_path / "a"), (tmp_path / "a" / "summary.json").stat().st_mtime_ns
    assert work(one) == Outcome("a", 0)
    assert (bits(tmp_path / "a"), (tmp_path / "a" / "summary.json").stat().st_mtime_ns) == before
    assert (tmp_path / "a.log").read_text().endswith("is finished already: nothing is left to do\n")


def test_a_stopped_run_says_that_it_can_go_on_and_does(tmp_path):
    arch, _ = net(tmp_path, STRUCK_ONCE.format("SIGTERM"))
    one = task(tmp_path, "a", arch, 4)
    stopped = work(one)
    assert (stopped.code, stopped.reason[:30]) == (143, "SIGTERM: saved; continue with ")
    assert work(one) == Outcome("a", 0)
    assert work(task(tmp_path, "undisturbed", arch, 4)).code == 0
    assert bits(tmp_path / "a") == bits(tmp_path / "undisturbed")


def test_a_handler_of_the_program_s_own_ends_the_process_once_the_run_is_saved(tmp_path):
    arch, _ = net(tmp_path, STRUCK_ONCE.format("SIGUSR2"))
    one = task(tmp_path, "a", arch, 4)
    before = signal.signal(signal.SIGUSR2, lambda *_: sys.exit(9))  # as submitit's does
    try:
        with pytest.raises(SystemExit, match="9"):
            work(one)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert work(one) == Outcome("a", 0)
    assert "goes on from checkpoint" in (tmp_path / "a.log").read_text()


def test_a_failure_before_the_first_checkpoint_leaves_its_reason_in_the_log(tmp_path):
    one = task(tmp_path, "a")
    outcome = work(attrs.evolve(one, spec=f"{one.spec}lr = 1e30\n"))
    assert outcome.code == 6
    assert (tmp_path / "a.log").read_text().splitlines()[-1] == f"prunekit: {outcome.reason}"
    assert not (tmp_path / "a" / "summary.json").exists()


def test_threads_are_the_task_s_and_after_it_what_they_were(tmp_path):
    before = torch.get_num_threads()
    arch, mark = net(tmp_path, "import torch; MARK.write_text(str(torch.get_num_threads()))", 1)
    assert work(attrs.evolve(task(tmp_path, "a", arch), threads=3)) == Outcome("a", 0)
    assert mark.read_text() == "3"
    assert torch.get_num_threads() == before


def test_a_folder_that_another_still_holds_is_waited_for(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    held, done = threading.Event(), threading.Event()

    def hold():
        with FolderLock(tmp_path / "a").held():
            held.set()
            done.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(60)
    monkeypatch.setattr(single, "PATIENCE", 0.0)
    assert work(task(tmp_path, "a")).code == 5
    monkeypatch.setattr(single, "PATIENCE", 60.0)
    threading.Timer(0.7, done.set).start()
    assert work(task(tmp_path, "a")) == Outcome("a", 0)
    other.join()


def test_a_log_that_cannot_be_written_is_an_outcome(tmp_path):
    (tmp_path / "a.log").mkdir()
    outcome = work(task(tmp_path, "a"))
    assert (outcome.code, outcome.reason) == (4, f"cannot write {tmp_path}/a.log: Is a directory")


def test_a_log_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "other").write_text("theirs")
    (tmp_path / "a.log").symlink_to(tmp_path / "other")
    assert work(task(tmp_path, "a")).code == 4
    assert (tmp_path / "other").read_text() == "theirs"


def test_standard_files_are_as_before_and_a_closed_one_is_closed(tmp_path, capfd):
    before = [os.fstat(number).st_ino for number in (0, 1)]
    error = os.dup(2)
    os.close(2)
    try:
        assert work(task(tmp_path, "a", "no-such-arch")).code == 2
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(2)
    finally:
        os.dup2(error, 2)
        os.close(error)
    assert [os.fstat(number).st_ino for number in (0, 1)] == before
    assert capfd.readouterr().out == ""
    assert "no-such-arch" in (tmp_path / "a.log").read_text()
