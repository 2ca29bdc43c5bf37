"""The trials of a sweep on this machine: worker processes, one trial at a time in each.

No paper. Differs from a pool of the standard library: a worker that dies takes its own trial with
it and no other, is replaced, and the trial goes on from its checkpoint; a signal reaches the trial
that runs and no next one begins; the script that calls is not imported again by its workers.

A worker pays for its imports once. It is replaced after 50 trials, after one that lacked memory,
and after a signal. It does not get the terminal's Ctrl-C, which is for the sweep; it ends, saved,
when the sweep's process is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import attrs

import prunekit
from prunekit import Outcome, Task

ATTEMPTS = 3
"""How often a trial is begun whose process dies or is stopped."""
TASKS = 50
"""What a worker does before another takes its place: the memory of a GPU falls into pieces."""
NO_MEMORY, NOT_WRITTEN, STOPPED = 3, 4, 130
"""Exit codes: out of memory; storage; from here on stopped by a signal."""
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from prunekit_plugins.local import serve; serve()"
)
VISIBLE = "CUDA_VISIBLE_DEVICES"
WORKER = {"PRUNEKIT_WORKER": "1"}  # a second signal is the first: srun reaches workers too
GPU = re.compile(r"cuda:(\d+)")


def _are_gpus(_: Any, field: attrs.Attribute[Any], devices: tuple[str, ...]) -> None:
    for device in devices:
        if not GPU.fullmatch(device):
            raise prunekit.SpecError(
                f"{field.name} are GPUs to share out, as cuda:0,cuda:1: {device!r}; without them "
                "each trial has the device of its spec"
            )


@attrs.frozen
class Local:
    """Worker processes of this machine, each with its threads and its GPU."""

    jobs: int = prunekit.option(
        0,
        help="trials at once; 0 = one for each of --devices, or one",
        validator=prunekit.at_least(0),
    )
    devices: tuple[str, ...] = prunekit.option(
        (), help="GPUs to share out among the trials: cuda:0,cuda:1", validator=_are_gpus
    )

    @property
    def at_once(self) -> int:
        """How many trials run at once."""
        return self.jobs or len(self.devices) or 1

    @property
    def threads(self) -> int:
        """The cores, shared out."""
        return max(1, cores() // self.at_once)

    def work(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        gpus = [visible(device, os.environ.get(VISIBLE)) for device in self.devices]
        tasks = [task.on_gpu() for task in tasks] if gpus else tasks
        slots = range(min(self.at_once, len(tasks)))
        crew = Crew(tasks, [{VISIBLE: gpus[k % len(gpus)]} if gpus else {} for k in slots])
        try:
            yield from crew.outcomes(len(tasks))
        finally:
            crew.stop()


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible(device: str, among: str | None) -> str:
    """What makes "cuda:1" the only GPU of a process, where those of `among` are visible now."""
    number = int(device.removeprefix("cuda:"))
    known = [name.strip() for name in (among or "").split(",") if name.strip()]
    if among is None:
        return str(number)
    if number >= len(known):
        raise prunekit.SpecError(
            f"--devices {device}: {VISIBLE}={among!r} shows {len(known)} GPUs; name one of these"
        )
    return known[number]


class Crew:
    """Slots, each a thread that gives tasks to the worker it has, one after the other."""

    def __init__(self, tasks: Sequence[Task], slots: Sequence[Mapping[str, str]]) -> None:
        """slots: what the environment of the workers holds, slot by slot."""
        self.waiting = deque(tasks)
        self.ended: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self.door, self.stopping, self.workers = threading.Lock(), False, list[Worker]()
        self.threads = [
            threading.Thread(target=self._fill, args=(slot,), daemon=True) for slot in slots
        ]
        for thread in self.threads:
            thread.start()

    def outcomes(self, count: int) -> Iterator[Outcome]:
        """What came of `count` tasks, as they end."""
        for _ in range(count):
            ended = self.ended.get()
            if isinstance(ended, BaseException):
                raise ended
            yield ended

    def stop(self) -> None:
        """Begin nothing more, have what runs save, wait for it; a second Ctrl-C waits no more."""
        with self.door:
            self.stopping = True
            for worker in self.workers:
                worker.process.terminate()
        try:
            for thread in self.threads:
                thread.join()
        except BaseException:
            for worker in [*self.workers]:
                worker.kill()
            raise

    def _fill(self, slot: Mapping[str, str]) -> None:
        worker: Worker | None = None
        try:
            while not self.stopping and (task := self._next()) is not None:
                worker = self._tried(task, slot, worker)
        except BaseException as error:  # of ours, for whoever waits
            self.ended.put(error)
        finally:
            if worker is not None:
                self._dismiss(worker)

    def _next(self) -> Task | None:
        with self.door:
            return self.waiting.popleft() if self.waiting else None

    def _tried(self, task: Task, slot: Mapping[str, str], worker: Worker | None) -> Worker | None:
        """Do the task, again where its process dies; the worker, if it may do another."""
        for attempt in range(ATTEMPTS):
            try:
                worker = worker or self._hired(task, slot)
            except OSError as error:  # of the log, or of a new process
                reason = f"no worker for it: {error.strerror}: {error.filename}"
                self.ended.put(Outcome(task.name, NOT_WRITTEN, reason))
                return None
            if worker is None:
                return None
            outcome = worker.do(task)
            done = not worker.dead and outcome.code < STOPPED
            if not worker.fit:
                self._dismiss(worker)
                worker = None
            if done or self.stopping:
                break
            note(task, f"{outcome.reason} (attempt {attempt + 1} of {ATTEMPTS})")
        self.ended.put(outcome)
        return worker

    def _hired(self, task: Task, slot: Mapping[str, str]) -> Worker | None:
        """A new worker; None where all is to stop."""
        with self.door:
            if self.stopping:
                return None
            self.workers.append(Worker(task, slot))
            return self.workers[-1]

    def _dismiss(self, worker: Worker) -> None:
        worker.leave()
        with self.door:
            self.workers.remove(worker)


class Worker:
    """A process that does one task after another. dead: it ended, and not as it was told."""

    def __init__(self, first: Task, slot: Mapping[str, str]) -> None:
        Path(first.log).parent.mkdir(parents=True, exist_ok=True)
        self.left, self.fit, self.dead = TASKS, True, False
        with appended(first.log) as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **first.environment, **slot, **WORKER},
                process_group=0,  # what the terminal sends is for the sweep
                bufsize=0,
            )
        pipes = self.process.stdin, self.process.stdout
        self.given, self.answers = cast("tuple[IO[bytes], IO[bytes]]", pipes)

    def do(self, task: Task) -> Outcome:
        """Have it done; what came of it, or of the process."""
        with contextlib.suppress(BrokenPipeError):
            self.given.write(json.dumps(attrs.asdict(task)).encode() + b"\n")
        if not (line := self.answers.readline()):
            return self._lost(task)
        outcome = Outcome(**json.loads(line))
        self.left -= 1
        self.fit = self.left > 0 and outcome.code != NO_MEMORY and outcome.code < STOPPED
        return outcome

    def _lost(self, task: Task) -> Outcome:
        self.fit, self.dead = False, True
        self.kill()  # what it started itself
        status = self.process.wait()
        reason = f"its process ended with code {status}: {last_line(task)}"
        if status < 0:
            short = ": too little memory?" if status == -signal.SIGKILL else ""
            reason = f"its process was killed by signal {-status}{short}"
        return Outcome(task.name, status or 1, reason)

    def kill(self) -> None:
        """End it at once, with the loader processes that it started."""
        if self.process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def leave(self) -> None:
        """Wait until it has ended: nobody has anything to do for it."""
        self.given.close()
        self.process.wait()
        self.answers.close()


def note(task: Task, line: str) -> None:
    """Add a line to the log of a task."""
    with contextlib.suppress(OSError), appended(task.log) as file:
        file.write(f"prunekit: {line}\n".encode())


def appended(log: str) -> IO[bytes]:
    """A log, to be added to; a link is not followed."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(log, flags, 0o666), "ab")


def last_line(task: Task) -> str:
    """What its log ends with."""
    with contextlib.suppress(OSError):
        lines = Path(task.log).read_bytes()[-4000:].decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


def serve() -> None:
    """In a worker: do the tasks that come, one a line, until the sweep's process has no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given, answers = os.dup(0), os.dup(1)  # nothing that is printed gets there
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    if hasattr(os, "register_at_fork"):  # loaders that outlive a worker would seem to be it
        for number in (given, answers):
            os.register_at_fork(after_in_child=partial(os.close, number))
    tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(given, tasks), daemon=True).start()
    while (task := tasks.get()) is not None:
        outcome = prunekit.work(task)
        os.write(answers, json.dumps(attrs.asdict(outcome)).encode() + b"\n")


def _listen(given: int, tasks: queue.SimpleQueue[Task | None]) -> None:
    """Take tasks in; at their end save what runs, for who asked for it is gone."""
    with open(given, "rb", closefd=False) as lines:
        for line in lines:
            tasks.put(Task(**json.loads(line)))
    tasks.put(None)
    os.kill(os.getpid(), signal.SIGTERM)  # to the main thread, whatever it does


@prunekit.hookimpl
def prunekit_engines() -> dict[str, type[Local]]:
    return {"local": Local}
