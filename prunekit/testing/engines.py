"""What every engine must do; each check's docstring is a sentence of the contract.

Real runs, on the data set digits, that take a second each once torch is imported.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prunekit.contracts import Engine
from prunekit.spec.tasks import Outcome, Task
from prunekit.testing import options

PATIENCE = 15.0
"""Seconds to wait for a trial to begin, where an engine begins several at once."""

NET = """
import math
import os
import signal
import time
from pathlib import Path

from torch import nn

MARK = Path({mark!r})


def act():
    {action}


class Net(nn.Sequential):
    passes = 0

    def forward(self, x):
        self.passes += 1
        if self.passes > {after}:
            act()
        return super().forward(x)


def build(input_shape, classes):
    inputs = math.prod(input_shape)
    return Net(nn.Flatten(), nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, classes))
"""
ONCE = """if not MARK.exists():
        assert os.getpid() != {asker}, "a trial runs in the process that asks for it"
        MARK.touch()
        os.kill(os.getpid(), signal.{signal})"""
"""What a net does that sends its process a signal, in one of its passes and never again."""
SLOWLY = "MARK.touch()\n    time.sleep(0.05)"
"""What a net does that takes its time, and says that it has begun."""

SPEC = """
arch = "{arch}"
dataset = "digits"
scorer = "magnitude"
observers = []
device = "cpu"
[prune]
density = 0.5
[train]
epochs = {epochs}
"""


def task(folder: Path, name: str, arch: str = "mlp", epochs: int = 1) -> Task:
    """A trial of some steps, in `folder`/`name`."""
    spec = SPEC.format(arch=arch, epochs=epochs)
    return Task(name, spec, str(folder / name), str(folder / f"{name}.log"), threads=1)


def net(folder: Path, action: str, after: int = 30) -> tuple[str, Path]:
    """A network whose passes do `action` from some number on: its name, and the file it marks.

    action: Python, which may ask for MARK; see `ONCE` and `SLOWLY`.
    """
    mark, file = folder / "mark", folder / "net.py"
    file.write_text(NET.format(mark=str(mark), action=action, after=after), encoding="utf-8")
    return f"{file}:build", mark


def once(signal: str) -> str:
    """The action `ONCE` of a net; in this process it would be a fault."""
    return ONCE.format(signal=signal, asker=os.getpid())


def check_every_task_has_one_outcome(engine: Engine) -> None:
    """Each task has one outcome, with its exit code; one that fails stops no other."""
    with a_folder() as folder:
        tasks = [task(folder, "refused", "no-such-arch"), task(folder, "good")]
        outcomes = {outcome.name: outcome for outcome in engine.work(tasks)}
        assert sorted(outcomes) == ["good", "refused"], f"it has outcomes of {sorted(outcomes)}"
        assert outcomes["good"] == Outcome("good", 0), f"a good task ends as {outcomes['good']}"
        assert outcomes["refused"].code == 2, f"a refused task ends as {outcomes['refused']}"
        assert "no-such-arch" in outcomes["refused"].reason, "a failure says no reason"
        assert (folder / "good" / "summary.json").is_file(), "a good task leaves no finished run"
        assert (folder / "refused.log").is_file(), "a task leaves no log"
        threads = _environment(folder / "good")["threads"]
        assert threads == 1, f"a task of 1 thread ran with {threads}"


def check_a_process_that_dies_is_tried_again(engine: Engine) -> None:
    """A trial whose process is killed goes on, in another, from its checkpoint to its end."""
    with a_folder() as folder:
        arch, mark = net(folder, once("SIGKILL"))
        outcomes = list(engine.work([task(folder, "killed", arch, epochs=4)]))
        assert outcomes == [Outcome("killed", 0)], f"the trial ends as {outcomes}"
        assert mark.exists(), "the trial was not begun"
        assert (folder / "killed" / "summary.json").is_file(), "the trial was not finished"


def check_closing_stops_what_runs(engine: Engine) -> None:
    """When the generator is closed, what runs is saved and ends, and nothing more begins."""
    with a_folder() as folder:
        arch, mark = net(folder, SLOWLY)
        tasks = [task(folder, "first"), *(task(folder, f"slow-{n}", arch, 2000) for n in range(2))]
        outcomes = engine.work(tasks)
        next(outcomes)
        until = time.monotonic() + PATIENCE
        while not mark.exists() and time.monotonic() < until:
            time.sleep(0.05)
        outcomes.close()
        before = _files(folder)
        time.sleep(1.0)
        assert _files(folder) == before, "a trial goes on after the generator was closed"
        assert not list(folder.glob("slow-*/summary.json")), "it waited for the end of a trial"


def _environment(run: Path) -> dict[str, object]:
    found: dict[str, dict[str, object]] = json.loads((run / "components.json").read_text("utf-8"))
    return found["environment"]


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Path -> size and time (ns) of the last change of each file."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {str(path): (state.st_size, state.st_mtime_ns) for path, state in found.items()}


@contextmanager
def a_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


CHECKS: tuple[Callable[[Engine], None], ...] = (
    check_every_task_has_one_outcome,
    check_a_process_that_dies_is_tried_again,
    check_closing_stops_what_runs,
    *options.CHECKS,
)
