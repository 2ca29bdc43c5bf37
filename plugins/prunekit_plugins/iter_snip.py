"""Iterative SNIP: SNIP in rounds, each on the net pruned so far; what is pruned stays pruned.

de Jorge, Sanyal, Behl, Torr, Rogez & Dokania, ICLR 2021, https://arxiv.org/abs/2006.09081,
section 4 ("Iterative SNIP"); Verdenius, Stol & Forre, https://arxiv.org/abs/2006.00896:

    s_j = |m_j * w_j * dL/dw_j at m * w|

L is the mean loss of a batch (cross-entropy in nats); s has no unit. 60 rounds of exponentially
falling density, as in the paper's experiments. The factor m_j is the core's: it sets the score of
a weight that may not compete to 0, so that a weight redrawn between rounds competes again.
`loss = raw-nll` is the published code's: minus the mean logit of the right class, without a
softmax; its masks differ clearly.
Differs from the paper: batch norm is in eval mode by default (the published code's is train);
gradients of several batches are summed instead of averaged (the order is the same).
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
class IterSNIP:
    """Score a weight by its sensitivity in the net pruned so far."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the files of 0.1.0, and without parts
        "1a73b6ee9085c562d69e1de472b7404d743df9f8fcc186faacac0b27d0aed272",
        "b15b180b593f0c16fe1ece557eb0e8e6c4bc9ece5d46e62c0e75adf9e7c5f5dd",
    )
    adds_up: ClassVar[bool] = True
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
        """Return |w * dL/d(effective weight)| of the masked net."""
        loss = None if self.loss is None else LOSSES[self.loss]
        gradient = prunekit.loss_gradient(network, batches, loss, self.batch_norm, self.split)
        return {name: (w * gradient[name]).abs() for name, w in network.weights.items()}


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"iter-snip": IterSNIP}
