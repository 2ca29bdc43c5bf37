"""Loss and accuracy of a network on batches, tallied on the device: nothing waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.errors import SpecError
from prunekit.network.modes import eval_mode

IGNORED = -100
"""The label that `F.cross_entropy` leaves out."""

Pairs = Iterator[tuple[Tensor, Tensor]]


class EpochBatches(Protocol):
    """Batches as a pure function of the epoch: `epoch(e, start)` yields (x, y) from `start` on."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int = 0) -> Pairs: ...


def autocast(device: torch.device, amp: str) -> torch.autocast:
    dtype = torch.float16 if amp == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=amp != "none")


def as_logits(output: Any) -> Tensor:
    """What a model gave, if it is a tensor; SpecError otherwise."""
    if isinstance(output, Tensor):
        return output
    raise SpecError(
        f"the model gives a {type(output).__name__}; wrap it so that it gives one tensor of "
        "logits, (batch, classes)"
    )


def no_tally(device: torch.device) -> Tensor:
    """A tally of nothing: loss sum in nats, correct answers, labels that count; float64 (3,)."""
    dtype = torch.float32 if device.type == "mps" else torch.float64
    return torch.zeros(3, dtype=dtype).to(device)


def add_batch(totals: Tensor, logits: Tensor, y: Tensor, loss: Tensor, mean: bool) -> None:
    """Add one batch to a tally. loss: cross-entropy, the mean or the sum over its labels.

    Labels of -100 do not count, as in `F.cross_entropy`; y may have more axes than the batch's.
    """
    counted, correct = (y != IGNORED).sum(), (logits.argmax(1) == y).sum()
    loss = loss.to(totals.dtype)  # a sum over many pixels is too large for float16
    parts = loss * counted if mean else loss, correct, counted
    totals += torch.stack([part.to(totals.dtype) for part in parts])


@torch.no_grad()
def evaluate(
    model: nn.Module, batches: EpochBatches, device: torch.device, amp: str = "none"
) -> dict[str, float]:
    """Mean cross-entropy in nats and accuracy in 0-1 over one pass, in eval mode.

    Raises SpecError for a model that gives no tensor, and where no label counts.
    """
    totals = no_tally(device)
    with eval_mode(model):
        for x, y in batches.epoch(0):
            with autocast(device, amp):
                logits = as_logits(model(x))
            loss = F.cross_entropy(logits.float(), y, reduction="sum")
            add_batch(totals, logits, y, loss, mean=False)
    loss_sum, correct, counted = totals.tolist()
    if not counted:
        raise SpecError("there is nothing to evaluate: no batch has a label other than -100")
    return {"loss": loss_sum / counted, "accuracy": correct / counted}
