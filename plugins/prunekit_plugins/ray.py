"""The trials of a sweep as tasks of a Ray cluster, or of Ray on this machine.

No paper. Differs from what Ray does alone: threads are set, for bits depend on them; a trial that
has no GPU sees none, and one that is to have a GPU is not done without; a trial that fails is an
outcome and no exception, so Ray tries again only what died; stopped, what runs saves.

Ray is no dependency: `pip install prunekit[ray]`, on every node, with prunekit itself. All nodes
must see the folders of the trials.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import attrs

import prunekit
from prunekit import Outcome, Task

RETRIES = 2
"""How often Ray begins a trial again whose process or node has died."""
LOST = -9
"""The outcome of a trial whose process died each time."""
SAVING = 120.0
"""Seconds that trials have to save when the sweep is stopped."""


@attrs.frozen
class Ray:
    """Tasks of a Ray cluster, each with its cores and its share of a GPU."""

    address: str = prunekit.option(
        "", help="the cluster, as auto or host:port; empty = RAY_ADDRESS, or this machine alone"
    )
    cpus: int = prunekit.option(
        1,
        help="cores of a trial; as many threads, unless --threads",
        validator=prunekit.at_least(1),
    )
    gpus: float = prunekit.option(
        0.0, help="GPUs of a trial; 0.5 = two trials share one", validator=prunekit.between(0, 1)
    )

    @property
    def threads(self) -> int:
        """A thread for each core."""
        return self.cpus

    def work(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        ray = imported()
        tasks = [task.on_gpu() for task in tasks] if self.gpus else tasks
        with connected(ray, self.address):
            waiting = {self._begun(ray, task): task for task in tasks}
            try:
                while waiting:
                    (done, *_), _ = ray.wait([*waiting], num_returns=1)
                    yield outcome_of(ray, done, waiting[done])
                    del waiting[done]
            finally:
                stop(ray, [*waiting])

    def _begun(self, ray: Any, task: Task) -> Any:
        """What Ray calls the task."""
        environment = {**task.environment, **({} if self.gpus else {"CUDA_VISIBLE_DEVICES": ""})}
        remote = ray.remote(
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            max_retries=RETRIES,
            runtime_env={"env_vars": environment},
        )(prunekit.work)
        return remote.options(name=task.name).remote(task)


def imported() -> Any:
    """Ray; PrunekitError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it is read at the import
    try:
        import ray
    except ImportError:
        raise prunekit.PrunekitError(
            "the engine ray needs Ray: pip install 'prunekit[ray]'"
        ) from None
    return ray


@contextlib.contextmanager
def connected(ray: Any, address: str) -> Iterator[None]:
    """Inside, this process speaks to a cluster, which it leaves as it found it."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(
            address=address or None,
            log_to_driver=False,  # each trial has its log
            include_dashboard=None if address or os.environ.get("RAY_ADDRESS") else False,
            logging_level="ERROR",
        )
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        where = address or os.environ.get("RAY_ADDRESS") or "this machine"
        raise prunekit.PrunekitError(f"no Ray at {where}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def outcome_of(ray: Any, done: Any, task: Task) -> Outcome:
    """What came of a task that has ended."""
    try:
        outcome: Outcome = ray.get(done)
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return Outcome(task.name, LOST, f"Ray lost its process: {(lines or [repr(error)])[0]}")
    return outcome


def stop(ray: Any, waiting: Sequence[Any]) -> None:
    """Drop what waits, and have what runs save; at a second Ctrl-C what runs ends at once."""
    try:
        for one in waiting:
            ray.cancel(one)  # Ctrl-C in its process
        ray.wait(waiting, num_returns=len(waiting), timeout=SAVING) if waiting else None
    except BaseException:
        for one in waiting:
            ray.cancel(one, force=True)
        raise


@prunekit.hookimpl
def prunekit_engines() -> Mapping[str, type[Ray]]:
    return {"ray": Ray}
