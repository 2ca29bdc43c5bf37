"""What a training owns where masks are fixed: the weights under them.

The other owner of the loop (loop.py) is that of learned scores, learned.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from prunekit.pruning.rounds import Pruning

BLOCK = 1 << 18
"""Gradients cleared at once: their masks of 32 bits stay in the cache."""


@attrs.define(eq=False)
class MaskedWeights:
    """Trains the weights of `model`; pruned ones get no gradient, so they stay exactly zero.

    A weight that starts at zero and whose gradient, momentum and decay are zero stays zero under
    any of the optimizers.
    """

    model: nn.Module
    pruned: list[tuple[nn.Parameter, Tensor]]

    @classmethod
    def of(
        cls, model: nn.Module, masks: Mapping[str, Tensor], device: torch.device
    ) -> MaskedWeights:
        parameters = dict(model.named_parameters())
        return cls(model, [(parameters[name], ~mask.to(device)) for name, mask in masks.items()])

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def before_step(self, step: int) -> None:
        """Nothing: the model holds its weights."""

    def after_backward(self) -> None:
        for parameter, pruned in self.pruned:
            if parameter.grad is not None:
                parameter.grad = parameter.grad.to_dense()  # of an embedding it may be sparse
                clear(parameter.grad, pruned)

    def settle(self) -> None:
        """Nothing: the model is as it is evaluated."""

    def metrics(self) -> dict[str, Any]:
        return {}

    def finish(self, pruning: Pruning) -> None:
        """Nothing: the masks were there before."""

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing beyond the model."""


def clear(gradient: Tensor, pruned: Tensor) -> None:
    """Set `gradient`, of any shape, to +0 where `pruned`, bool of that shape; NaN and inf too.

    Float32 in row-major order on a CPU is masked as bits: a fill branches at every element, which
    takes six times as long.
    """
    plain = gradient.dtype == torch.float32 and gradient.device.type == "cpu"
    if not (plain and gradient.is_contiguous() and pruned.is_contiguous()):
        gradient.masked_fill_(pruned, 0)
    elif gradient.numel() <= BLOCK:
        gradient.view(torch.int32).bitwise_and_(pruned.view(torch.int8) - 1)
    else:
        for part, lost in zip(gradient.view(-1).split(BLOCK), pruned.view(-1).split(BLOCK)):
            part.view(torch.int32).bitwise_and_(lost.view(torch.int8) - 1)
