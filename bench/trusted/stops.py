"""R13 and R14: a run that is asked to stop saves, and goes on to the same bits."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soak
from torch.nn.parallel import DistributedDataParallel
from trusted.forks import Lost, alive, command, ended, ran, started
from trusted.kills import to_text
from trusted.ranks import one_rank, shares
from trusted.repeats import net
from trusted.rows import SHOWN, Row

import prunekit
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.storage.texts import read_toml

SPEC: dict[str, Any] = {
    "observers": [], "device": "cpu", "arch": {"name": "mlp", "hidden": [16]}, "dataset": "digits",
    "scorer": "snip", "sampler": "topk", "prune": {"density": 0.2},
    "rounds": {"count": 2, "epochs": 2},
    "train": {
        "epochs": 10, "batch_size": 64, "lr": 0.05, "checkpoint_every": 5, "keep_checkpoints": True
    },
}  # fmt: skip
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 143}
LEAVES = 30.0
"""Seconds in which all ranks must have left."""
REQUEUE = 144
Stopped = Callable[[Path, Path], str]


def wholly(place: Path, epochs: int = 10) -> tuple[dict[str, Any], float]:
    """What the run leaves that nobody stops, and how long it takes."""
    spec = SPEC | {"train": SPEC["train"] | {"epochs": epochs}}
    (place / "spec.toml").write_text(to_text(spec))
    start = time.perf_counter()
    code, said = ran("run", place / "spec.toml", "--out", place / "whole", log=place / "log")
    if code:
        raise Lost(said)
    return left_by(place / "whole"), time.perf_counter() - start


def left_by(folder: Path) -> dict[str, Any]:
    """What a stopped run shares with one that was not: its last save may be another."""
    return {key: value for key, value in soak.left_by(folder).items() if key != "state"}


def signals(count: int, place: Path) -> Row:
    """R13: TERM, INT and USR1 at random moments, every fifth twice; and one rank of two."""
    whole, seconds = wholly(place)
    chance, wrong, number, late = random.Random(13), list[str](), 0, 0
    while number < count:
        folder = place / f"run-{number}-{late}"
        signum, twice = chance.choice(sorted(CODES)), number % 5 == 4
        code, said, took = signalled(place, folder, signum, chance.uniform(0, seconds), twice)
        if code == 0:  # the run was quicker than the one that was timed
            late, seconds = late + 1, 0.9 * seconds
            continue
        problem = judged(code, said, signum, folder, took, twice) or resumed(place, folder, whole)
        name = signal.Signals(signum).name + " twice" * twice
        wrong += [f"{name} {number}: {problem}"] if problem else []
        number += 1
        shutil.rmtree(folder, ignore_errors=True)
    wrong += [said for said in (one_rank_of_two(place, whole), rank_lost(place)) if said]
    figure = f"{count} signals (and {late} after the end) and one to a rank of two, "
    figure += f"{len(wrong)} faults"
    aim = "saved, 143 or 130, resumed bitwise; both ranks leave in 30 s"
    return figure + "".join(f"; {w}" for w in wrong[:SHOWN]), aim, not wrong


def signalled(
    place: Path, folder: Path, signum: int, delay: float, twice: bool
) -> tuple[int, str, float]:
    """Exit code and words of a run that is sent a signal, and how long it took to leave."""
    log = place / "log"
    pid = started(command, "run", place / "spec.toml", "--out", folder, log=log)
    time.sleep(delay)
    os.kill(pid, signum)
    asked = time.perf_counter()
    if twice:
        time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
    code = ended(pid, 60.0)
    return code, log.read_text(errors="replace"), time.perf_counter() - asked


def judged(code: int, said: str, signum: int, folder: Path, took: float, twice: bool) -> str:
    """What is wrong with how a run ended; empty if nothing."""
    if "Traceback" in said:
        return f"a traceback: {said.splitlines()[-1]}"
    began = (folder / "spec.toml").exists()
    if code == -signum and (twice or not began):
        return ""  # no folder yet, or a second signal that ends at once
    if code not in (0, CODES[signal.Signals(signum)]):
        return f"exit {code}: {said[-150:]}"
    done = "the run is finished" in said and (folder / "summary.json").exists()
    if code and began and not twice and "resume" not in said and not done:
        return f"it does not say how to go on: {said[-150:]}"
    return f"it took {took:.0f} s to leave" if took > LEAVES else ""


def resumed(place: Path, folder: Path, whole: dict[str, Any]) -> str:
    """Go on to the end; what differs from the run that nobody stopped."""
    if (folder / "spec.toml").exists():
        code, said = ran("resume", folder, log=place / "log")
    else:
        code, said = ran("run", place / "spec.toml", "--out", folder, log=place / "log")
    if code:
        return f"resume ends with {code}: {said[-200:]}"
    found = left_by(folder)
    differ = sorted(key for key in {*whole, *found} if whole.get(key) != found.get(key))
    return f"{', '.join(differ)} differ" if differ else ""


def one_rank_of_two(place: Path, whole: dict[str, Any]) -> str:
    """What is wrong when one of two ranks of torchrun is asked to stop; empty if nothing."""
    folder, pids = place / "ranks", []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for rank in range(2):
        log = place / f"rank-{rank}.log"
        pids.append(started(as_rank, rank, port, place / "spec.toml", folder, log=log))
    wait_for_lines(folder, 3, lambda: alive(pids[1]))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pids[1], signal.SIGTERM)
    try:
        codes = [ended(pid, LEAVES) for pid in pids]
    except Lost as lost:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return f"one of two ranks: {lost}"
    said = " / ".join((place / f"rank-{rank}.log").read_text()[-120:] for rank in range(2))
    if codes == [2, 2] and not folder.exists() and "Traceback" not in said:
        return ""  # a command of several ranks is refused by all of them
    if any(code not in (0, 143) for code in codes):
        return f"one of two ranks: exits {codes}: {said}"
    problem = resumed(place, folder, whole)
    return f"one of two ranks: {problem}" if problem else ""


def rank_lost(place: Path) -> str:
    """What is wrong when one of two ranks that train by `prunekit.train` is stopped."""
    folder = place / "lost"
    folder.mkdir()
    logs = [folder / f"{rank}.log" for rank in range(2)]
    pids = [started(one_rank, r, 2, trains_on, folder, folder, log=logs[r]) for r in range(2)]
    while not (folder / "training").exists() and all(map(alive, pids)):
        time.sleep(0.05)
    os.kill(pids[1], signal.SIGTERM)
    try:
        codes = [ended(pid, LEAVES) for pid in reversed(pids)]
    except Lost as lost:
        return f"a rank without its other: {lost}"
    return "" if 0 not in codes else f"a rank without its other ends with {codes}"


def trains_on(rank: int, ranks: int, folder: Path) -> None:
    """Train for ever; the file `training` says that it has begun."""
    model = DistributedDataParallel(net())
    prunekit.train(model, None, shares(rank, ranks), epochs=1)
    (folder / "training").touch()
    prunekit.train(model, None, shares(rank, ranks), epochs=10**6)


def as_rank(rank: int, port: int, spec: Path, folder: Path) -> int:
    """The command line, as torchrun starts it."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_WORLD_SIZE": "2"}
    return command("run", spec, "--out", folder)


def requeued(count: int, place: Path) -> Row:
    """R14: USR1 and USR2 through submitit's local executor, or what it does where it is missing."""
    whole, _ = wholly(place, epochs=40)
    try:
        import submitit  # noqa: F401

        by, through = "submitit", by_submitit
    except ImportError:
        by, through = "submitit's handlers, which is not installed", emulated
    wrong = []
    for name in ("USR1", "USR2")[:count]:
        folder = place / name
        problem = through(name, place / "spec.toml", folder)
        if not problem:
            found = left_by(folder)
            problem = ", ".join(key for key in whole if whole[key] != found.get(key))
        wrong += [f"{name}: {problem}"] if problem else []
    figure = f"{', '.join(('USR1', 'USR2')[:count])} through {by}: {len(wrong)} faults"
    return figure + "".join(f"; {w[:300]}" for w in wrong), "requeued, bitwise", not wrong


class Job:
    """A run that submitit may stop and call again."""

    def __init__(self, spec: Path, folder: Path) -> None:
        self.spec, self.folder = spec, folder

    def __call__(self) -> str:
        plugins = Plugins()
        if (self.folder / "spec.toml").exists():
            prunekit.resume(self.folder, plugins=plugins)
        else:
            prunekit.run(structure(read_toml(self.spec), plugins), self.folder, plugins=plugins)
        return "done"

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def by_submitit(name: str, spec: Path, folder: Path) -> str:
    """Two preemptions of a job; what is wrong, empty if nothing."""
    import submitit

    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = name
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    executor = submitit.LocalExecutor(folder.with_suffix(".jobs"))
    executor.update_parameters(timeout_min=10, signal_delay_s=1)
    job = executor.submit(Job(spec, folder))
    for _ in range(2):
        wait_for_lines(folder, lines_in(folder) + 3, lambda: job.state == "RUNNING")
        for task in children(int(job.job_id)):
            os.kill(task, getattr(signal, f"SIG{name}"))
        time.sleep(0.5)
    try:
        return "" if job.result() == "done" else "another result"
    except Exception as error:  # whatever the job ended in
        return f"{type(error).__name__}: {str(error)[-250:]}"


def wait_for_lines(folder: Path, lines: int, running: Callable[[], bool]) -> None:
    """Until a run has written so many lines of metrics, or is over."""
    limit = time.monotonic() + 120
    while running() and lines_in(folder) < lines and time.monotonic() < limit:
        time.sleep(0.01)


def lines_in(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return metrics.read_text().count("\n") if metrics.exists() else 0


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def emulated(name: str, spec: Path, folder: Path) -> str:
    """As `by_submitit`, with the handlers that submitit installs and its exit code."""
    log, signum = folder.with_suffix(".log"), getattr(signal, f"SIG{name}")
    for stopped in (True, True, False):
        pid = started(with_handlers, signum, spec, folder, log=log)
        if stopped:
            wait_for_lines(folder, lines_in(folder) + 3, lambda pid=pid: alive(pid))
            os.kill(pid, signum)
        code = ended(pid, 120.0)
        if code != (REQUEUE if stopped else 0):
            return f"exit {code}: {log.read_text()[-250:]}"
    return ""


def with_handlers(signum: int, spec: Path, folder: Path) -> None:
    def requeue(*_: Any) -> None:
        sys.exit(REQUEUE)

    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signum, requeue)
    Job(spec, folder)()
