"""w * m and its like, written into memory that is there already, in blocks that stay in cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

BLOCK = 1 << 16
NUMPYS = (torch.float32, torch.float64)


def in_blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Flat views of the tensors (all of one shape), BLOCK elements at a time.

    The tensors themselves where they are no longer, not contiguous, or on an accelerator.
    """
    if tensors[0].numel() > BLOCK and all(t.is_cpu and t.is_contiguous() for t in tensors):
        yield from zip(*(t.view(-1).split(BLOCK) for t in tensors))
    else:
        yield tensors


def write_masked(weight: Tensor, mask: Tensor, out: Tensor) -> None:
    """out = weight * mask (bool), all of one shape; the same bits as `torch.mul`.

    On the CPU torch makes the whole mask a float one first. NumPy does so in blocks that stay in
    cache: 1.3 against 2.1 ns a weight in float64, 0.6 against 1.5 in float32, without a copy; but
    only where all three lie in memory alike. `torch.where` branches: 5 ns near density 1/2.
    """
    alike = weight.stride() == mask.stride() == out.stride()
    if alike and weight.device.type == "cpu" and weight.dtype == out.dtype in NUMPYS:
        with np.errstate(invalid="ignore"):  # infinity * 0 is NaN, as in torch
            np.multiply(weight.detach().numpy(), mask.numpy(), out=out.detach().numpy())
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
