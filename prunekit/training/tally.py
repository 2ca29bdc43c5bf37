"""Loss and accuracy of the epoch that a training is in, tallied on the device."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from prunekit.training.accuracy import add_batch, metrics_of, no_tally


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

    def add(self, loss: Tensor, counted: Tensor, correct: Tensor, step: int) -> None:
        """Count one batch of `step`. loss: the mean over what counts. correct: may be NaN."""
        add_batch(self.totals, loss, counted, correct, mean=True)
        bad = ~torch.isfinite(loss) & (self.bad_step < 0)
        self.bad_step.masked_fill_(bad, step)

    def take(self) -> dict[str, float]:
        """Mean loss of the epoch, which ends, and accuracy in 0-1 where there is one."""
        line = metrics_of(self.totals)
        self.totals.zero_()
        return line
