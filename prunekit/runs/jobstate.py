"""What of a job goes into a checkpoint, and how it comes back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from prunekit.errors import StorageError
from prunekit.storage.checkpoints import load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from prunekit.runs.job import Job


def save_job(job: Job) -> None:
    """Write a checkpoint from which `restore_job` continues to the same bits."""
    now = time.perf_counter()
    job.seconds, job.clock, job.saved_at = job.seconds + now - job.clock, now, now
    position = {
        "phase": job.phase,
        "round": job.pruning.round,
        "trained": job.trained,
        "redraws": job.pruning.redraws,
        "training": job.training is not None,
        "seconds": job.seconds,
        "metrics_bytes": job.folder.metrics_bytes(),
        "score_stats": job.score_stats,
        "dead": job.dead,
    }
    save_checkpoint(job.folder.checkpoints, tensors_of(job), position, job.folder.spec_hash)


def tensors_of(job: Job) -> dict[str, Tensor]:
    """Everything that is not a function of the spec alone, as group/name."""
    pruning = job.pruning
    groups: dict[str, Mapping[str, Tensor]] = {
        "model": job.built.model.state_dict(),
        "masks": job.network.masks or {},
        "redrawn": pruning.redrawn,
        "draws": pruning.draws,
        "scale": pruning.scale or {},
        "rewind": job.rewind or {},
        "training": job.training.state() if job.training else {},
        "weights": job.network.weights if job.phase == "rounds" or job.learned else {},
    }
    return {f"{g}/{key}": value for g, group in groups.items() for key, value in group.items()}


def restore_job(job: Job) -> None:
    """Stand where the newest checkpoint stood, or at the start; later metrics lines are cut.

    Raises StorageError when the checkpoint does not fit the spec's model.
    """
    found = load_checkpoint(job.folder.checkpoints, job.folder.spec_hash)
    job.folder.cut_metrics(found[1]["metrics_bytes"] if found else 0)
    if found is None:
        return
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in found[0].items():
        group, _, name = key.partition("/")
        place = job.device if group != "training" else value.device  # the optimizer moves its own
        groups.setdefault(group, {})[name] = value.to(place)
    try:
        _take(job, groups, found[1])
    except (KeyError, RuntimeError) as error:
        raise StorageError(f"the checkpoint does not fit its spec: {error}") from None


@torch.no_grad()
def _take(job: Job, groups: dict[str, dict[str, Tensor]], position: Mapping[str, Any]) -> None:
    job.phase, job.trained = position["phase"], position["trained"]
    job.seconds, job.dead = position["seconds"], position["dead"]
    job.score_stats = position["score_stats"]
    pruning = job.pruning
    pruning.round, pruning.redraws = position["round"], position["redraws"]
    pruning.redrawn, pruning.draws = groups.get("redrawn", {}), groups.get("draws", {})
    pruning.scale, job.rewind = groups.get("scale"), groups.get("rewind")
    job.built.model.load_state_dict(groups["model"])
    for name, parameter in job.network.effective.items():
        before = groups.get("weights", {}).get(name, parameter)
        job.network.weights[name].copy_(before)
    masks = groups.get("masks")
    job.network.masks = {name: masks[name] for name in job.network.weights} if masks else None
    job.resumed = groups["training"] if position["training"] else None
