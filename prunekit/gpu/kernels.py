"""Triton where it is at hand: its language, what makes a kernel, and on what one can be launched.

A kernel for all layers reads a table (see tables.py) and works on the layer `tl.program_id(1)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prunekit.gpu.tables import laid_out_alike

try:
    import triton
    import triton.language as tl
except ImportError:  # torch comes without it on the CPU and on Windows
    triton = tl = None

__all__ = ["compiled", "entry", "launchable", "tl", "triton"]


def compiled(function: Any, *plain: str) -> Any:
    """A kernel or a part of one; None without Triton.

    plain: arguments for whose values Triton shall not compile a kernel each.
    """
    return None if triton is None else triton.jit(function, do_not_specialize=list(plain))


def launchable(
    weights: Sequence[Tensor],
    sizes: Sequence[float] | None,
    floats: Sequence[Sequence[Tensor]],
    numbers: Sequence[Tensor] = (),
) -> bool:
    """Whether one kernel can work on these: Triton, one CUDA device, dtypes and orders in memory.

    weights: one tensor for each layer, float32; or int8 signs, of these `sizes`. floats: kinds of
    float32 tensors, one of each kind for each layer, of its weights' shape. numbers: one float32
    tensor of one number for each layer.
    """
    if triton is None or not weights or not weights[0].is_cuda:
        return False
    held = torch.float32 if sizes is None else torch.int8
    every = [tensor for kind in (*floats, numbers) for tensor in kind]
    return (
        {weight.dtype for weight in weights} == {held}
        and {tensor.dtype for tensor in every} <= {torch.float32}
        and {number.get_device() for number in numbers} <= {weights[0].get_device()}
        and laid_out_alike(weights, *floats)
    )


# Triton reads annotations, so only its own stand below.


def _entry_of(table, layers, row):  # type: ignore[no-untyped-def]
    """What row `row` of a table (rows, layers) says of the layer that this program works on."""
    return tl.load(table + row * layers + tl.program_id(1))


entry = compiled(_entry_of, "layers")
