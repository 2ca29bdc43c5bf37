"""What a job reads: batches to train on, to score, and to measure, all functions of the spec."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from prunekit.contracts import acts, batches_read, learns, period, reads
from prunekit.data.scored import scored_batches
from prunekit.data.splits import Batches, Data, Split
from prunekit.training.accuracy import evaluate

if TYPE_CHECKING:
    from prunekit.runs.job import Job
    from prunekit.spec.sections import Spec


def training_batches(job: Job, phase: str, source: str) -> Batches:
    """The batches of the training named `phase`, from the source of that name."""
    options, data = job.spec.train, job.spec.data
    return Batches(
        job.data.train,
        job.data,
        options.batch_size or 128,
        device=job.device,
        augment=data.augment or "none",
        seed=job.spec.seed,
        workers=data.workers,
        stream=phase,
        source=source,  # type: ignore[arg-type]
    )


def batches_to_score(job: Job, round_: int) -> list[tuple[Tensor, Tensor]]:
    """The scored batches of a round: as many as the scorer asks for, from `prune.data`."""
    prune, kind = job.spec.prune, reads(job.spec.scorer)
    if kind == "nothing" or (kind == "one batch" and prune.data is None):
        return []
    return scored_batches(
        job.data,
        prune.data or "real",
        batches_read(job.spec.scorer),
        prune.batch_size or 256,
        job.spec.seed,
        round_,
        job.device,
    )


def redraw_events(spec: Spec, data: Data) -> int | None:
    """How often a run of the resolved `spec` redraws: in training, or between rounds.

    None where no reinitializer acts.
    """
    if not acts(spec.reinit) or spec.prune.density == 1:
        return None
    if not learns(spec.scorer):
        return (spec.rounds.count or 1) - 1
    batches = len(Batches(data.train, data, spec.train.batch_size or 128))
    steps = (spec.train.epochs or 0) * math.ceil(batches / spec.train.accumulate)
    return steps // period(spec.reinit)


def measure(job: Job) -> dict[str, float]:
    """Validation and test loss (nats) and accuracy (0-1) of the model as it stands."""
    found: dict[str, float] = {}
    for name in ("validation", "test"):
        split = getattr(job.data, name)
        if split is None:
            continue
        if name not in job.passes:  # once a run: a split in memory moves to the device here
            job.passes[name] = _one_pass(job, split)
        result = evaluate(job.built.model, job.passes[name], job.device, job.spec.train.amp)
        found |= {f"{name}.{key}": value for key, value in result.items()}
    return found


def _one_pass(job: Job, split: Split) -> Batches:
    """One pass over a split, in order, not augmented."""
    return Batches(
        split,
        job.data,
        max(job.spec.train.batch_size or 128, 256),
        device=job.device,
        seed=job.spec.seed,
        shuffle=False,
        workers=job.spec.data.workers,
    )
