"""Loss and accuracy of the epoch that a training is in, tallied on the device."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from prunekit.training.accuracy import add_batch, no_tally


@attrs.frozen(eq=False)
class EpochTally:
    """What the batches of the epoch gave so far; nothing waits for the device until it is read.

    totals: as `accuracy.no_tally`. bad_step: int64 (), the first step of the training whose loss
    was not finite, or -1.
    """

    totals: Tensor
    bad_step: Tensor

    @classmethod
    def of(cls, device: torch.device) -> EpochTally:
        return cls(no_tally(device), torch.full((), -1, dtype=torch.int64, device=device))

    def add(self, loss: Tensor, logits: Tensor, y: Tensor, step: int) -> None:
        """Count one batch of `step`. loss: the mean cross-entropy of its labels, in nats."""
        add_batch(self.totals, logits, y, loss, mean=True)
        bad = ~torch.isfinite(loss) & (self.bad_step < 0)
        self.bad_step.masked_fill_(bad, step)

    def take(self) -> tuple[float, float]:
        """Mean loss in nats and accuracy in 0-1 of the epoch, which ends; waits for the device."""
        loss, correct, counted = self.totals.tolist()
        self.totals.zero_()
        return loss / counted, correct / counted
