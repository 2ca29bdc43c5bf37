"""Loss and accuracy of a network on batches, tallied on the device: nothing waits for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.network.modes import eval_mode
from prunekit.network.objective import Batch, Objective, Outcome

Pairs = Iterator[Batch]

USUAL = Objective()
"""The loss that a model gives, else cross-entropy."""


class EpochBatches(Protocol):
    """Batches as a pure function of the epoch: `epoch(e, start)` yields (x, y) from `start` on."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Pairs: ...


def autocast(device: torch.device, amp: str) -> torch.autocast:
    dtype = torch.float16 if amp == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=amp != "none")


def no_tally(device: torch.device) -> Tensor:
    """A tally of nothing: loss sum, right ones, all that count; float64 (3,).

    The right ones are NaN from the first batch on whose loss knows no right and wrong.
    """
    dtype = torch.float32 if device.type == "mps" else torch.float64
    return torch.zeros(3, dtype=dtype).to(device)


def numbers_of(found: Outcome) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, how many count, how many are right: NaN where the loss knows no right and wrong."""
    correct = found.correct
    if correct is None:
        correct = torch.full_like(found.loss, math.nan, requires_grad=False)
    return found.loss, found.counted, correct


def add_batch(totals: Tensor, loss: Tensor, counted: Tensor, correct: Tensor, mean: bool) -> None:
    """Add the `numbers_of` one batch. mean: whether the loss is a mean over what counts."""
    loss = loss.to(totals.dtype)  # a sum over many pixels is too large for float16
    parts = loss * counted if mean else loss, correct, counted
    totals += torch.stack([part.to(totals, non_blocking=True) for part in parts])


def metrics_of(totals: Tensor) -> dict[str, float]:
    """The mean loss of a tally, and the accuracy in 0-1 where there is one; waits for the device.

    Raises SpecError where nothing counts.
    """
    loss, correct, counted = totals.tolist()
    if not counted:
        raise SpecError("there is nothing to evaluate: no batch has a label other than -100")
    line = {"loss": loss / counted}
    return line if math.isnan(correct) else line | {"accuracy": correct / counted}


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: EpochBatches,
    device: torch.device,
    amp: str = "none",
    objective: Objective = USUAL,
) -> dict[str, float]:
    """Mean loss (cross-entropy in nats) and accuracy in 0-1 over one pass, in eval mode.

    There is no accuracy where the loss knows no right and wrong. Raises what `Objective.of`
    raises, and SpecError where no label counts.
    """
    totals = no_tally(device)
    with eval_mode(model):
        for inputs, labels in batches.epoch(0):
            with autocast(device, amp):
                outputs = objective.outputs(model, inputs)
                found = objective.outcome(outputs, labels, total=True)
            add_batch(totals, *numbers_of(found), mean=False)
    return metrics_of(totals)
