"""Tensors of all layers for one kernel: a table of their addresses, and which tensors may be in it.

A launch takes the processor longer than a layer takes the GPU, hence one launch for all layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from torch import Tensor


@attrs.define(eq=False)
class Table:
    """Rows of integers, one column for each layer, on a device; copied anew when one changes."""

    rows: Sequence[Sequence[int]] = ()
    there: Tensor | None = None

    def on(self, device: torch.device, rows: Sequence[Sequence[int]]) -> Tensor:
        """int64 (rows, layers); the processor does not wait for the copy."""
        if self.there is None or rows != self.rows or self.there.device != device:
            cuda, here = device.type == "cuda", torch.from_numpy(np.array(rows, np.int64))
            here = here.pin_memory() if cuda else here
            self.rows, self.there = rows, here.to(device, non_blocking=True)
        return self.there


def laid_out_alike(*kinds: Sequence[Tensor]) -> bool:
    """Whether a kernel can take these kinds of tensors, one of each kind for each layer.

    All on one device; a layer's have one order in memory, without gaps, so that an element of it
    lies at the same place in each.
    """
    every = [tensor for kind in kinds for tensor in kind]
    if len({tensor.get_device() for tensor in every}) != 1:  # a step has no time for `.device`
        return False
    if all([tensor.is_contiguous() for tensor in every]):  # noqa: C419  # nor for a generator
        return True
    return all(_in_one_order(layer) for layer in zip(*kinds))


def _in_one_order(tensors: Sequence[Tensor]) -> bool:
    orders = {tuple(s for s, n in zip(t.stride(), t.shape) if n != 1) for t in tensors}
    return len(orders) == 1 and torch.ops.aten.is_non_overlapping_and_dense(tensors[0])


def addresses(tensors: Sequence[Tensor]) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def counts(tensors: Sequence[Tensor]) -> list[int]:
    """Of each, its number of elements."""
    return [tensor.numel() for tensor in tensors]


def bits(sizes: Sequence[float]) -> list[int]:
    """Of each, its bits as a float32."""
    return np.asarray(sizes, np.float32).view(np.int32).tolist()
