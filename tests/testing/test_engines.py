"""Each engine check catches the engine that breaks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import attrs
import pytest

from prunekit import testing, work
from prunekit.testing import engines


@attrs.frozen
class Here:
    """Does its tasks in this process."""

    def work(self, tasks):
        for task in tasks:
            yield work(task)


@attrs.frozen
class KeepsFailuresToItself:
    def work(self, tasks):
        yield from (outcome for outcome in map(work, tasks) if outcome.code == 0)


@attrs.frozen
class LetsGo:
    """Has a task under way in another process, which it leaves alone when it is closed."""

    def work(self, tasks):
        LEFT.append(begun(tasks[1]))
        yield work(tasks[0])


LEFT = []


def begun(task):
    """A process that does a task."""
    code = "import json, sys, prunekit as p; p.work(p.Task(**json.loads(sys.argv[1])))"
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(attrs.asdict(task))],
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.fixture
def left():
    yield LEFT
    while LEFT:
        process = LEFT.pop()
        process.kill()
        process.wait()


def test_an_engine_that_tells_of_no_failure_fails_its_check():
    with pytest.raises(AssertionError, match=r"it has outcomes of \['good'\]"):
        engines.check_every_task_has_one_outcome(KeepsFailuresToItself())


def test_an_engine_that_works_in_this_process_fails_the_check_of_a_process_that_dies():
    with pytest.raises(AssertionError, match="a trial runs in the process that asks for it"):
        engines.check_a_process_that_dies_is_tried_again(Here())


@pytest.mark.usefixtures("left")
def test_an_engine_that_leaves_trials_running_fails_the_check_of_closing():
    with pytest.raises(AssertionError, match="a trial goes on after the generator was closed"):
        engines.check_closing_stops_what_runs(LetsGo())


def test_what_has_no_method_work_is_no_engine():
    assert testing.problems("engine", object()) != []
