"""The k-th smallest of scores that change a little from step to step, from where it was before.

The answer is exact whatever is remembered; what is remembered decides only the time taken. On other
devices than the CPU no value is remembered: the answers stay there, and nothing waits for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from torch import Tensor

from prunekit.errors import SpecError

if TYPE_CHECKING:
    from prunekit.selection.kth_triton import Select

SMALL = 1 << 14  # below it, partitioning everything is as quick
BLOCK = 1 << 16  # scores in cache at a time
AIM = 1 / 200  # share of the scores that the bracket should hold


@attrs.define(eq=False)
class KthMemory:
    """What `kth_smallest_each` remembers from one call to the next: it decides the time taken only.

    nearby: by layer, for scores on the CPU. select: the memory of the kernels on a GPU.
    """

    nearby: dict[str, Nearby] = attrs.field(factory=dict)
    select: Select | None = None


def kth_smallest_each(
    scores: Mapping[str, Tensor], ranks: Mapping[str, int], memory: KthMemory
) -> dict[str, float | Tensor]:
    """The `ranks[name]`-th smallest of each of `scores`, counted from 1, exactly.

    scores: floating-point, of any shape, none empty, infinities included, no NaN. memory: new at
    first, the same one in the next call. A number for scores on the CPU; on any other device a
    tensor of one number there, which the next call with the same memory may overwrite.
    """
    if not isinstance(memory, KthMemory):
        given = type(memory).__name__
        raise SpecError(f"memory must be a prunekit.KthMemory: {given}; make one by KthMemory()")
    values = list(scores.values())
    if values and not any([score.is_cpu for score in values]):  # noqa: C419  # a step has no time
        from prunekit.selection.kth_triton import Select  # importing Triton takes long

        if Select.launchable(values):
            memory.select = memory.select or Select()
            kth = memory.select.kth_smallest(values, [ranks[name] for name in scores])
            return dict(zip(scores, kth))
    return {
        name: memory.nearby.setdefault(name, Nearby()).kth_smallest(score, ranks[name])
        if score.is_cpu
        else kth_on_device(score, ranks[name])
        for name, score in scores.items()
    }


def kth_on_device(scores: Tensor, k: int) -> Tensor:
    """The k-th smallest as a tensor on the device of `scores`: nothing waits for it."""
    return scores.detach().reshape(-1).sort().values[k - 1]


@attrs.define
class Nearby:
    """Remembers a k-th value and how far it may move by the next call.

    value: the last one, NaN at first. reach: half the width of the bracket around it.
    """

    value: float = float("nan")
    reach: float = 0.0

    def kth_smallest(self, values: Tensor, k: int) -> float:
        """The k-th smallest of `values` (any shape, floating-point), k counted from 1."""
        if values.dtype == torch.bfloat16:  # NumPy has none; float32 holds each of them
            values = values.to(torch.float32)
        flat = values.detach().cpu().contiguous().reshape(-1).numpy()
        if flat.size < SMALL:
            return float(np.partition(flat, k - 1)[k - 1])
        kth = self._within_reach(flat, k)
        return self._everywhere(flat, k) if kth is None else kth

    def _within_reach(self, flat: np.ndarray, k: int) -> float | None:
        """The k-th smallest if it lies in (value - reach, value + reach], else None."""
        low, high = (
            flat.dtype.type(self.value - self.reach),
            flat.dtype.type(self.value + self.reach),
        )
        if not low < high:
            return None
        below, pieces = 0, []
        for start in range(0, flat.size, BLOCK):
            block = flat[start : start + BLOCK]
            above = block > low
            below += block.size - int(np.count_nonzero(above))
            above &= block <= high
            pieces.append(block.compress(above))  # half the time of block[above]
        inside = np.concatenate(pieces)
        rank = k - 1 - below
        if not 0 <= rank < inside.size:
            return None
        kth = float(np.partition(inside, rank)[rank])
        growth = np.clip(AIM * flat.size / inside.size, 0.5, 2.0)
        self.reach = max(float(growth) * self.reach, 2 * abs(kth - self.value))
        self.value = kth
        return kth

    def _everywhere(self, flat: np.ndarray, k: int) -> float:
        """The k-th smallest by partitioning everything; its neighbours give the reach."""
        side = max(int(AIM / 2 * flat.size), 1)
        places = np.clip([k - 1 - side, k - 1, k - 1 + side], 0, flat.size - 1)
        low, kth, high = (float(v) for v in np.partition(flat, places)[places])
        self.value, self.reach = kth, max(kth - low, high - kth)
        return kth
