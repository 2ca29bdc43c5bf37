"""What a training owns where masks are fixed: the weights under them.

The other owner of the loop (loop.py) is that of learned scores, learned.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from prunekit.network.names import parameters_of
from prunekit.pruning.rounds import Pruning

BLOCK = 1 << 18
"""Gradients cleared at once: their masks of 32 bits stay in the cache."""


@attrs.define(eq=False)
class MaskedWeights:
    """Trains the weights of `model`; pruned ones get no gradient, so they stay exactly zero.

    A weight that starts at zero and whose gradient, momentum and decay are zero stays zero under
    any of the optimizers.
    gates: of the shapes of their parameters; see `gate`.
    """

    model: nn.Module
    gates: list[tuple[nn.Parameter, Tensor]]

    @classmethod
    def of(
        cls, model: nn.Module, masks: Mapping[str, Tensor], device: torch.device
    ) -> MaskedWeights:
        parameters = parameters_of(model)
        gates = [
            (parameters[name], gate(mask.to(device), parameters[name].dtype))
            for name, mask in masks.items()
        ]
        return cls(model, gates)

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def before_step(self, step: int) -> None:
        """Nothing: the model holds its weights."""

    def after_backward(self) -> None:
        for parameter, shut in self.gates:
            if parameter.grad is not None:
                parameter.grad = parameter.grad.to_dense()  # of an embedding it may be sparse
                clear(parameter.grad, shut)

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


def gate(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What `clear` takes for gradients of `dtype`, of the mask's shape and on its device.

    All bits set where kept, for float32 on a CPU: int32 for few weights, which saves a conversion,
    int8 for many, which saves memory. Else bool, True where pruned.
    """
    if mask.device.type != "cpu" or dtype != torch.float32:
        return ~mask
    bits = torch.int32 if mask.numel() <= BLOCK else torch.int8
    return mask.contiguous().to(bits).neg_()


def clear(gradient: Tensor, shut: Tensor) -> None:
    """Set `gradient` to +0 where its gate is shut; NaN and infinities too.

    A row-major gradient of float32 on a CPU is masked as bits: a fill branches at every element,
    which takes six times as long.
    """
    if shut.dtype == torch.bool:
        gradient.masked_fill_(shut, 0)
    elif gradient.dtype != torch.float32 or gradient.is_cuda or not gradient.is_contiguous():
        gradient.masked_fill_(shut == 0, 0)
    elif gradient.numel() <= BLOCK:
        gradient.view(torch.int32).bitwise_and_(shut)
    else:
        for part, bits in zip(gradient.view(-1).split(BLOCK), shut.view(-1).split(BLOCK)):
            part.view(torch.int32).bitwise_and_(bits)
