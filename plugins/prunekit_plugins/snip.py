"""SNIP: prune before training by connection sensitivity.

Lee, Ajanthan & Torr, ICLR 2019, https://arxiv.org/abs/1810.02340, section 4.1:

    s_j = |dL/dc_j| = |w_j * dL/d(c_j w_j)|

c_j in {0, 1} switches weight w_j off or on; L is the mean loss of a batch (cross-entropy in
nats, or what the training minimises); s has no unit. Several batches: their gradients are summed,
the absolute value comes last.
`loss = l1` is that of Bar & Giryes, https://arxiv.org/abs/2305.17559, section 6: the mean over
the batch of the sum over classes of |logit - one-hot label|.
Differs from the paper: s is not divided by its sum (the order is the same); the gradient may be
summed over several batches; biases are not scored; the weights scored are those that are trained.
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


@attrs.frozen
class SNIP:
    """Score a weight by how much the loss reacts to switching it off or on."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the files of 0.1.0, and without parts
        "314a6049566b14764c23f5a01b5319381524cd9a8090d3892c50de260b87ce63",
        "9c403b9ce0df91ef1c2bfcad048fb7edbd250326c2ed6581d73a41536bf8d2dc",
    )
    adds_up: ClassVar[bool] = True
    suggests: ClassVar[Mapping[str, object]] = {"rounds.count": 1}

    batch_norm: Mode = prunekit.option(
        "eval", help="batch-norm mode while scoring; it decides the mask"
    )
    batches: int = prunekit.option(
        1, help="mini-batches whose gradients are summed", validator=prunekit.at_least(1)
    )
    split: int = prunekit.option(
        1, help="parts each batch is cut into, scored one by one", validator=prunekit.at_least(1)
    )
    loss: Literal["cross-entropy", "l1"] | None = prunekit.left_open(
        None, help="the loss whose reaction is measured; left open, that of the training"
    )

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        """Return |w * dL/d(effective weight)|, with dL summed over all of `batches`."""
        loss = None if self.loss is None else LOSSES[self.loss]
        gradient = prunekit.loss_gradient(network, batches, loss, self.batch_norm, self.split)
        return {name: (w * gradient[name]).abs() for name, w in network.weights.items()}


def l1_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over all labels but -100 of sum_c |logits[:, c] - (y == c)|.

    logits: (batch, classes, ...), y: (batch, ...).
    """
    known = y != -100
    one_hot = F.one_hot(y.where(known, 0), logits.shape[1]).movedim(-1, 1)
    return (logits - one_hot).abs().sum(dim=1)[known].mean()


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": F.cross_entropy,
    "l1": l1_loss,
}


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"snip": SNIP}
