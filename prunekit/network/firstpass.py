"""The pass that is made to see what is a weight: on two examples, on a batch, or on zeros."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import out_of_memory
from prunekit.network.examples import two_of
from prunekit.network.objective import Objective
from prunekit.network.taint import Use
from prunekit.network.traced import uses_of


def first_pass(
    model: nn.Module,
    inputs: Any,
    input_shape: Sequence[int] | None = None,
    objective: Objective | None = None,
) -> dict[str, Use] | None:
    """What a forward pass does with each parameter of `model`; None where none can be made.

    inputs: those of a batch, as `Objective` takes them, or None; then input_shape: zeros of it,
    two at a time. Of a tensor two examples are taken first, and all of them where those did not
    reach every parameter, as in a mixture of experts. The model is left as it was.
    """
    how, best = objective or Objective(), None
    for given in _tries(model, inputs, input_shape):
        try:
            uses = uses_of(model, functools.partial(how.outputs, model, given))
        except Exception as error:  # anyone's forward may raise anything; a scorer will say it
            if best is None and (short := out_of_memory(error)):
                raise short from error
            continue
        if best is None or _reached(uses) > _reached(best):
            best = uses
        if inputs is None or _reached(uses) == len(uses):
            break
    return best


def _reached(uses: Mapping[str, Use]) -> int:
    return sum(use.reached for use in uses.values())


def _tries(model: nn.Module, inputs: Any, input_shape: Sequence[int] | None) -> Iterator[Any]:
    """Inputs to try, in turn."""
    if isinstance(inputs, Tensor) and inputs.ndim and inputs.layout == torch.strided:
        if len(inputs) > 2:
            yield torch.stack([inputs[i] for i in two_of(inputs).tolist()])
        yield inputs if len(inputs) > 1 else torch.cat([inputs, inputs])
    elif inputs is not None:
        yield inputs
    elif input_shape is not None:
        first = next((p for p in model.parameters() if p.is_floating_point()), None)
        if first is not None:
            shape = (2, *input_shape)
            yield torch.zeros(shape, dtype=first.dtype, device=first.device)
            yield torch.zeros(shape, dtype=torch.long, device=first.device)
