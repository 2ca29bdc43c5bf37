"""The trials of a sweep as job arrays of a Slurm cluster, by submitit.

No paper. Differs from what submitit does alone: an array longer than the cluster takes is cut;
a job that Slurm preempts, or ends at its time limit, saves its trial before it is requeued, and
goes on from there; one whose node dies is submitted again; closed, the sweep has what runs saved.

submitit is no dependency: `pip install prunekit[slurm]`. Its scripts, logs and pickles lie in
`folder`, which all nodes must see, as they must see the trials' folders.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

import prunekit
from prunekit import Outcome, Task

ATTEMPTS = 3
"""How often a trial is submitted whose job ends without an answer."""
FAILED, SIGINT, STOPPED, LOST = 1, 130, 143, -9
"""Outcomes: from 130 on of a trial that was stopped, and of a job that is gone."""
NOT_REQUEUED = "Job not requeued because"
"""What submitit says of a job that a signal ended after its trials had saved."""
POLL = 2.0
SAVING = 120.0
"""Seconds that trials have to save when the sweep is stopped."""
VISIBLE = "CUDA_VISIBLE_DEVICES"


@attrs.frozen
class Slurm:
    """Jobs of a Slurm cluster, in arrays; each does one trial, or several after each other."""

    time: int = prunekit.option(
        240, help="minutes of a job; a trial goes on in the next", validator=prunekit.at_least(1)
    )
    at_once: int = prunekit.option(16, help="jobs at once", validator=prunekit.at_least(1))
    per_job: int = prunekit.option(
        1, help="trials of a job, one after another", validator=prunekit.at_least(1)
    )
    cpus: int = prunekit.option(
        1, help="cores of a job; as many threads, unless --threads", validator=prunekit.at_least(1)
    )
    gpus: int = prunekit.option(0, help="GPUs of a job", validator=prunekit.between(0, 1))
    memory: float = prunekit.option(
        0.0, help="GB of a job; 0 = what the cluster gives", validator=prunekit.at_least(0)
    )
    partition: str = prunekit.option("", help="partition to submit to")
    sbatch: tuple[str, ...] = prunekit.option((), help="more for sbatch, as account=me,qos=long")
    requeues: int = prunekit.option(
        100, help="how often a trial may reach its time limit", validator=prunekit.at_least(0)
    )
    warning: int = prunekit.option(
        90, help="seconds between the signal to save and the end", validator=prunekit.at_least(1)
    )
    folder: str = prunekit.option(
        "", help="for scripts, logs and pickles; empty = .slurm among the trials", path=True
    )
    cluster: Literal["slurm", "local"] = prunekit.option(
        "slurm", help="local: jobs of this machine, all at once, to try it"
    )

    def __attrs_post_init__(self) -> None:
        for one in self.sbatch:
            if "=" not in one.strip("="):
                raise prunekit.SpecError(f"sbatch takes key=value, as account=me: {one!r}")

    @property
    def threads(self) -> int:
        """A thread for each core."""
        return self.cpus

    def work(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        queue = Queue(self, tasks)
        try:
            yield from queue.outcomes()
        finally:
            queue.stop()

    def script(self, tasks: Sequence[Task]) -> str:
        """The script of the first array that would be submitted."""
        queue = Queue(self, tasks)
        executor = queue.executor._executor
        jobs = queue.arrays[0] if queue.arrays else []
        if len(jobs) > 1:
            executor.parameters["map_count"] = len(jobs)
        return str(executor._make_submission_file_text(executor._submitit_command_str, "0"))


class Job:
    """What a job does: its tasks, one after the other; requeued, it goes on with them."""

    def __init__(self, tasks: Sequence[Task], gpus: int, stop: Path) -> None:
        """stop: a file; where it exists the sweep was stopped, and nothing is requeued."""
        self.tasks, self.gpus, self.stop = tasks, gpus, stop

    def __call__(self) -> list[dict[str, Any]]:
        if not self.gpus:
            os.environ[VISIBLE] = ""  # Slurm may show all of a node
        outcomes = []
        for task in self.tasks:
            os.environ.update(task.environment)
            outcomes.append(prunekit.work(task))
            if outcomes[-1].code >= SIGINT:
                break
        return [attrs.asdict(outcome) for outcome in outcomes]

    def checkpoint(self) -> Any:
        """What is submitted again when a signal has ended the job; the trials have saved."""
        return None if self.stop.exists() else imported().core.utils.DelayedSubmission(self)


@attrs.define
class Submitted:
    """A job on its way: what it does, and how often it was submitted."""

    handle: Any
    job: Job
    attempt: int = 1


class Queue:
    """The jobs of one sweep."""

    def __init__(self, engine: Slurm, tasks: Sequence[Task]) -> None:
        self.engine, self.jobs = engine, list[Submitted]()
        if engine.gpus:
            tasks = [task.on_gpu() for task in tasks]
        self.folder = Path(engine.folder or common_folder(tasks) / ".slurm")
        stop = self.folder / f"stop-{uuid.uuid4().hex[:8]}"
        groups = [tasks[at : at + engine.per_job] for at in range(0, len(tasks), engine.per_job)]
        made = [Job(group, engine.gpus, stop) for group in groups]
        self.stop_file, most = stop, longest_array() if engine.cluster == "slurm" else len(made)
        self.arrays = [made[at : at + most] for at in range(0, len(made), most or 1)]
        with in_one_line("submitit"):
            self.executor = imported().AutoExecutor(
                folder=self.folder, cluster=engine.cluster, slurm_max_num_timeout=engine.requeues
            )
            self.executor.update_parameters(**self.parameters())

    def parameters(self) -> dict[str, Any]:
        """What submitit is told of each job."""
        engine, more = self.engine, [one.partition("=") for one in self.engine.sbatch]
        own: dict[str, Any] = {
            "name": "prunekit",
            "timeout_min": engine.time,
            "cpus_per_task": engine.cpus,
            "tasks_per_node": 1,
            "gpus_per_node": engine.gpus or None,
            "mem_gb": engine.memory or None,
            "slurm_partition": engine.partition or None,
            "slurm_signal_delay_s": engine.warning,
            "slurm_array_parallelism": max(1, engine.at_once // max(1, len(self.arrays))),
            "slurm_additional_parameters": {"requeue": True, **{k: v for k, _, v in more}},
        }
        return {key: value for key, value in own.items() if value is not None}

    def outcomes(self) -> Iterator[Outcome]:
        """Submit all; what came of the tasks, as their jobs end."""
        for array in self.arrays:
            self.submit(array)
        while self.jobs:
            for one in [one for one in self.jobs if one.handle.done()]:
                yield from self.ended(one)
                self.jobs.remove(one)
            if self.jobs:
                time.sleep(POLL)

    def submit(self, jobs: Sequence[Job], attempt: int = 1) -> None:
        """One array, or one job."""
        with in_one_line("sbatch"), self.executor.batch():
            handles = [self.executor.submit(job) for job in jobs]
        self.jobs += [Submitted(handle, job, attempt) for handle, job in zip(handles, jobs)]

    def ended(self, one: Submitted) -> Iterator[Outcome]:
        """What came of a job; it is submitted again where it left no answer."""
        try:
            answers = one.handle.result()
        except imported().core.utils.FailedJobError as error:  # it said why, and ends
            answers, said = [], str(error)
            code = STOPPED if NOT_REQUEUED in said else FAILED
        except imported().core.utils.UncompletedJobError as error:  # it is gone
            if one.attempt < ATTEMPTS:
                self.submit([one.job], one.attempt + 1)
                return
            answers, code, said = [], LOST, str(error)
        known = [Outcome(**answer) for answer in answers]
        yield from known
        for task in one.job.tasks[len(known) :]:
            code, reason = (known[-1].code, "not begun") if known else (code, shortened(said))
            yield Outcome(task.name, code, reason)

    def stop(self) -> None:
        """Have what runs save, drop what waits, and wait for both."""
        left = [one.handle for one in self.jobs]
        if not left:
            return
        self.stop_file.touch()
        if self.engine.cluster == "local":
            for handle in left:
                handle.cancel()
            while not all(handle.done() for handle in left):
                time.sleep(0.1)
            return
        ids = sorted({str(handle.job_id).partition("_")[0] for handle in left})
        name = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")
        try:
            asked("scancel", "--state=PENDING", *ids)
            asked("scancel", f"--signal={name}", *ids)
            until = time.monotonic() + SAVING
            while time.monotonic() < until and asked("squeue", "-h", "-j", ",".join(ids)).strip():
                time.sleep(POLL)
        finally:  # at a second Ctrl-C too
            asked("scancel", *ids)


def imported() -> Any:
    """submitit; PrunekitError where it is not installed."""
    try:
        import submitit
    except ImportError:
        raise prunekit.PrunekitError(
            "the engine slurm needs submitit: pip install 'prunekit[slurm]'"
        ) from None
    return submitit


def common_folder(tasks: Sequence[Task]) -> Path:
    """The deepest folder that holds all trials."""
    return Path(os.path.commonpath([os.path.dirname(task.folder) for task in tasks] or [os.curdir]))


def longest_array() -> int:
    """How many jobs an array of this cluster may have."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", asked("scontrol", "show", "config"), re.M)
    return max(1, int(found[1])) if found else 1000


def asked(*command: str) -> str:
    """What a command of Slurm prints; "" where it fails, or is not there."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else ""
    return ""


@contextlib.contextmanager
def in_one_line(what: str) -> Iterator[None]:
    """Inside, what submitit and sbatch refuse is a PrunekitError."""
    try:
        yield
    except (RuntimeError, ValueError, NameError, OSError, subprocess.SubprocessError) as error:
        raise prunekit.PrunekitError(f"{what}: {error}") from error


def shortened(text: str) -> str:
    """Of what submitit says of a job, the error that ended it, or how it begins."""
    errors = re.findall(r"^[\w.]*Error\b.*", text, re.M)
    return errors[-1] if errors else " ".join(text.split("\n")[:2])


@prunekit.hookimpl
def prunekit_engines() -> Mapping[str, type[Slurm]]:
    return {"slurm": Slurm}
