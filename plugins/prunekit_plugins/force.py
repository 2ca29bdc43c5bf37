"""FORCE: foresight connection sensitivity, in rounds; what was pruned may come back.

de Jorge, Sanyal, Behl, Torr, Rogez & Dokania, ICLR 2021, https://arxiv.org/abs/2006.09081,
section 4 and algorithm 1:

    s_j = |w_j * dL/dw_j at m * w|

The gradient is that of the masked net, taken for every weight, so a pruned weight competes again
in every round. L is the mean loss of a batch (cross-entropy in nats); s has no unit. 60 rounds
of exponentially falling density, as in the paper's experiments.
`loss = raw-nll` is the published code's: minus the mean logit of the right class, without a
softmax; its masks differ clearly.
Differs from the paper: batch norm is in eval mode by default; in train mode, the published
code's, scores are numerically undefined once a whole channel is pruned. Gradients of several
batches are summed instead of averaged (the order is the same).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

import prunekit
from prunekit import Batch, Mode, Network, Scores

LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": F.cross_entropy,
    "raw-nll": F.nll_loss,
}


@attrs.frozen
class FORCE:
    """Score a weight, pruned or not, by its sensitivity in the net pruned so far."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the files of 0.1.0, and without parts
        "f34f9ad951a4fef3b42bd04aba061e9dfa03a298b8d9f203f9c20942ead079a9",
        "df64c7e62cdb4851c4033931aecc3db1f5541ae49c6bf82239dc891ba6a6a373",
    )
    adds_up: ClassVar[bool] = True
    revives: ClassVar[bool] = True
    suggests: ClassVar[Mapping[str, object]] = {
        "rounds.count": 60,
        "rounds.schedule": "exponential",
    }

    batch_norm: Mode = prunekit.option(
        "eval", help="batch-norm mode while scoring; it decides the mask"
    )
    batches: int = prunekit.option(
        1, help="mini-batches a round, gradients summed", validator=prunekit.at_least(1)
    )
    split: int = prunekit.option(
        1, help="parts each batch is cut into, scored one by one", validator=prunekit.at_least(1)
    )
    loss: Literal["cross-entropy", "raw-nll"] | None = prunekit.left_open(
        None, help="the loss; left open, that of the training; raw-nll is the published code's"
    )

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        """Return |w * dL/d(effective weight)| of the masked net, for pruned weights too."""
        loss = None if self.loss is None else LOSSES[self.loss]
        gradient = prunekit.loss_gradient(network, batches, loss, self.batch_norm, self.split)
        return {name: (w * gradient[name]).abs() for name, w in network.weights.items()}


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"force": FORCE}
