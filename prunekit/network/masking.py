"""w * m and its like, written into memory that is there already, in blocks that stay in cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

BLOCK = 1 << 16
BITS = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}
"""Type -> whole numbers of its size."""


def in_blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Flat views of the tensors (all of one shape), BLOCK elements at a time.

    The tensors themselves where they are no longer, not contiguous, or on an accelerator.
    """
    if tensors[0].numel() > BLOCK and all(t.is_cpu and t.is_contiguous() for t in tensors):
        yield from zip(*(t.view(-1).split(BLOCK) for t in tensors))
    else:
        yield tensors


def write_masked(weight: Tensor, mask: Tensor, out: Tensor) -> None:
    """out = weight where mask (bool) is True, else +0, over infinities and NaN too; one shape.

    The bits of a weight times 0 or 1: as whole numbers they know no NaN. On the CPU torch makes
    the whole mask a tensor of numbers first. NumPy does so in blocks that stay in cache: 1.3
    against 2.1 ns a weight in float64, 0.6 against 1.5 in float32, without a copy; but only where
    all three lie in memory alike. `torch.where` branches: 5 ns near density 1/2.
    """
    bits = BITS.get(weight.dtype)
    alike = weight.stride() == mask.stride() == out.stride()
    if bits is None or weight.dtype != out.dtype:
        out.copy_(torch.where(mask, weight, 0))
        return
    weight, out = weight.detach().view(bits), out.detach().view(bits)
    if alike and weight.is_cpu:
        np.multiply(weight.numpy(), mask.numpy(), out=out.numpy())
    else:
        torch.mul(weight, mask, out=out)


def zero_pruned(values: Tensor, before: Tensor, now: Tensor) -> bool:
    """Zero in `values` what the mask `now` prunes and `before` did not; then `before` is `now`.

    False, with nothing done, where more than an eighth was pruned or any came back.
    """
    if values.device.type != "cpu" or not (values.is_contiguous() and now.is_contiguous()):
        return False
    flat = now.numpy().ravel()
    changed = (flat ^ before.numpy().ravel()).nonzero()[0]
    if len(changed) > len(flat) // 8 or flat[changed].any():
        return False
    for tensor in (values, before):
        tensor.numpy().ravel()[changed] = 0
    return True
