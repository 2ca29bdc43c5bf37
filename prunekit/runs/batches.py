"""What a run reads: batches to train on, to score, and to measure, all functions of the plan."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor, nn

from prunekit.contracts import acts, period, skips_bad
from prunekit.data.scored import scored_batches
from prunekit.data.splits import Batches, Data, Split, prepare
from prunekit.errors import SpecError
from prunekit.resolve.plan import LearnedMasks, MeasuredMasks, Plan
from prunekit.spec.sections import DataSource
from prunekit.training.accuracy import evaluate

PASS = 256
"""Examples in a batch that is only measured, at least."""


def read_data(plan: Plan) -> Data:
    """What the dataset of a plan loads, as the plan wants it; see `prepare`.

    Raises SpecError where `data.skip_bad` cannot act, DataError for files that cannot be read.
    """
    dataset, skipped = plan.dataset, plan.data.skip_bad
    if not skipped:
        return prepare(dataset.load(), plan.data, plan.seed)
    if not skips_bad(dataset):
        raise SpecError(
            f"data.skip_bad = {skipped} cannot act: {type(dataset).__name__} reads no image files "
            "one by one; leave it out"
        )
    return prepare(dataset.load(skip_bad=skipped), plan.data, plan.seed)


@attrs.frozen(eq=False)
class RunBatches:
    """The batches of a run on its device. passes: over validation and test, made when asked for."""

    plan: Plan
    data: Data
    device: torch.device
    passes: dict[str, Batches] = attrs.field(factory=dict)

    def training(self, phase: str, source: DataSource = "real") -> Batches:
        """The batches of the training named `phase`, from the source of that name."""
        return Batches(
            self.data.train,
            self.data,
            self.plan.training.batch_size,
            device=self.device,
            augment=self.plan.data.augment,
            seed=self.plan.seed,
            workers=self.plan.data.workers,
            stream=phase,
            source=source,
        )

    def scored(self, number: int) -> list[tuple[Tensor, Tensor]]:
        """What round `number` (from 1) scores; [] where the scorer reads no batch."""
        masks = self.plan.masks
        if not isinstance(masks, MeasuredMasks) or not masks.scored.batches:
            return []
        wanted = masks.scored
        return scored_batches(
            self.data,
            wanted.source,
            wanted.batches,
            wanted.batch_size,
            self.plan.seed,
            number,
            self.device,
        )

    def measure(self, model: nn.Module) -> dict[str, float]:
        """Validation and test loss, and accuracy (0-1) where there is one, of `model` as it is.

        Cross-entropy is in nats.
        """
        numbers: dict[str, float] = {}
        for name, split in (("validation", self.data.validation), ("test", self.data.test)):
            if split is None:
                continue
            if name not in self.passes:  # once a run: a split in memory moves to the device here
                self.passes[name] = self._in_order(split)
            amp, objective = self.plan.training.amp, self.plan.objective
            result = evaluate(model, self.passes[name], self.device, amp, objective)
            numbers |= {f"{name}.{key}": value for key, value in result.items()}
        return numbers

    def _in_order(self, split: Split) -> Batches:
        """One pass over a split, in order, not augmented."""
        return Batches(
            split,
            self.data,
            max(self.plan.training.batch_size, PASS),
            device=self.device,
            seed=self.plan.seed,
            shuffle=False,
            workers=self.plan.data.workers,
        )


def redraw_events(plan: Plan, data: Data) -> int | None:
    """How often a run redraws: in training, or between rounds; None where nothing can redraw."""
    masks = plan.masks
    if isinstance(masks, MeasuredMasks) and masks.rounds and acts(masks.rounds[0].method.reinit):
        return len(masks.rounds) - 1
    if not isinstance(masks, LearnedMasks) or not acts(masks.method.reinit):
        return None
    batches = len(Batches(data.train, data, plan.training.batch_size))
    steps = plan.training.epochs * math.ceil(batches / plan.training.accumulate)
    return steps // period(masks.method.reinit)
