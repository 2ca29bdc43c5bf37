"""How a network's pruned weights were redrawn: coins of one rate, a seed for each event."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from torch import Tensor

from prunekit.contracts import has_coins
from prunekit.draws.chance import fold

CELLS = 1 << 25  # weights of a block times draws that each may stand at, and 8 times its offers
LEAST_EACH = 64  # cells of a weight: what its features take where draws are few
MOST_EVENTS = 2**16
FREE_CELLS, CELLS_PER_BYTE = 2**30, 2**14
FREE_STEPS, BYTES_PER_STEP = 2**16, 2
"""What a file may ask for, and more for each byte: ImageNet's 1,040 events fit in."""


@attrs.frozen
class Seeds:
    """Where words come from. coins: the seed of each event, from event 1 on; rate: r."""

    init: int
    scores: int
    coins: tuple[int, ...]
    rate: float


@attrs.frozen
class Coins:
    """That every pruned weight was redrawn with probability `rate` in events 1 to `events`."""

    rate: float
    events: int

    def bearable(self, shapes: Sequence[Sequence[int]], size: int) -> bool:
        """Whether an honest file of `size` bytes may ask for so much.

        A weight takes a cell for each event; a block of them one step for each event and each place
        in a kernel, all kernels at once, and must have room for a kernel.
        """
        each, cells, steps, roomy = room(self.events, self.rate), 0, 0, True
        for shape in shapes:
            kernel, total = max(math.prod(shape[2:]), 1), math.prod(shape)
            roomy &= kernel * each <= CELLS
            cells += total * each
            steps += -(-total // block_size(kernel, each)) * (kernel + self.events)
        roomy &= cells <= FREE_CELLS + CELLS_PER_BYTE * size
        roomy &= steps <= FREE_STEPS + size // BYTES_PER_STEP
        return roomy and self.events < MOST_EVENTS

    def seeds(self, seed: int) -> Seeds:
        events = tuple(fold(seed, "reinit", event) for event in range(1, self.events + 1))
        return Seeds(seed, fold(seed, "initial scores"), events, self.rate)


def room(events: int, rate: float) -> int:
    """Cells that are kept for one element."""
    return max(events + 1, math.ceil(8 * rate * events), LEAST_EACH)


def block_size(kernel: int, each: int) -> int:
    """Elements of a block: as many whole kernels as CELLS has room for, at least one."""
    return max(1, CELLS // each // kernel) * kernel


def coins_of(reinit: Any, masks: Mapping[str, Tensor], draws: Mapping[str, Tensor]) -> Coins | None:
    """How a run's pruned weights were redrawn, where its reinitializer has coins of one rate."""
    rates = {*reinit.rates(masks).values()} if has_coins(reinit) and draws else set()
    if len(rates) != 1:
        return None
    return Coins(rates.pop(), max((int(d.max()) for d in draws.values() if d.numel()), default=0))
