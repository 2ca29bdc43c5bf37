"""Settings: sections of a spec without a hole, as what a plan does is told to those who do it."""

from __future__ import annotations

from typing import Any, Self

import attrs

from prunekit.spec.sections import (
    Allocation,
    Amp,
    Augment,
    Control,
    DataSource,
    KeptOfRounds,
    Optimizer,
    RatePer,
    RateSchedule,
    RewindTo,
    Schedule,
)


@attrs.frozen
class Settings:
    """A section of which nothing is left open."""

    @classmethod
    def of(cls, section: Any) -> Self:
        """The settings of a section whose open options are filled; TypeError for an open one."""
        values = attrs.asdict(section, recurse=False)
        for field in attrs.fields(cls):
            if values[field.name] is None and "None" not in str(field.type):
                raise TypeError(f"{cls.__name__}.{field.name} is left open; fill the section first")
        return cls(**values)


@attrs.frozen
class PruneSettings(Settings):
    """What is pruned, how far, and what it is scored on; the fields are those of `Prune`.

    masks: the run folder or file whose masks are taken; None = masks are made.
    """

    density: float
    allocation: Allocation
    densities: tuple[str, ...]
    min_per_layer: int
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    data: DataSource
    batch_size: int
    control: Control
    masks: str | None


@attrs.frozen
class RoundSettings(Settings):
    """The rounds; the fields are those of `Rounds`. rewind_step: None unless it is rewound to."""

    count: int
    schedule: Schedule
    epochs: int
    rewind: RewindTo
    rewind_step: int | None
    data: DataSource
    keep: KeptOfRounds


@attrs.frozen
class TrainSettings(Settings):
    """A training, complete; the fields are those of `Train`."""

    epochs: int
    batch_size: int
    optimizer: Optimizer
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: RateSchedule
    milestones: tuple[float, ...]
    gamma: float
    rate_per: RatePer
    final_epochs: int
    final_lr: float
    warmup: float
    amp: Amp
    channels_last: bool
    compile: bool
    cuda_graph: bool
    accumulate: int
    clip: float
    label_smoothing: float
    bn_recalibrate: int
    checkpoint_every: int
    keep_checkpoints: bool


@attrs.frozen
class DataSettings(Settings):
    """How batches are made from the dataset; the fields are those of `DataOptions`.

    limit: training examples that are used; 0 = all. size: pixels that images are resized to; None =
    as they are. skip_bad: image files that cannot be decoded and may be left out.
    """

    augment: Augment
    validation: int
    limit: int
    size: int | None
    workers: int
    skip_bad: int = 0


@attrs.frozen
class Scored:
    """Which batches a round scores: `batches` of `batch_size` examples; 0 = none."""

    source: DataSource
    batches: int
    batch_size: int
