"""Which of many elements a coin chooses, at the cost of the chosen ones: geometric skipping.

Devroye, "Non-Uniform Random Variate Generation", 1986, chapter XIV.4 (waiting times). Between two
chosen elements lie j or more others with probability (1 - r)^j. With a word uniform in [0, 2^32),

    gap = number of j >= 1 with T_j > word,    T_j = floor((1 - r)^j 2^32)

All of it is integers, and the words are addressed by counter, so the choice is a function of the
seed, the name and the rate.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prunekit import draws

LONGEST = 4096
"""Gaps in the table. A longer one is walked in pieces: the coin has no memory."""


def bernoulli_positions(among: Tensor, rate: float, rng: torch.Generator, name: str) -> Tensor:
    """The flat positions where `among` (bool) is True and a coin of probability `rate` too.

    Ascending int64 on the device of `among`. The coin of an element is a function of
    `rng.initial_seed()`, `name`, `rate` and its position; that of the others is not thrown.
    rate: in [0, 1], exact at both ends.
    """
    if rate >= 1:
        return among.reshape(-1).nonzero()[:, 0]
    thrown, flat = coins(among.numel(), rate, rng.initial_seed(), name), among.reshape(-1)
    if among.device.type != "cpu":
        found = torch.from_numpy(thrown).to(among.device)
        return found[flat[found]]
    return torch.from_numpy(thrown.compress(flat.numpy().take(thrown)))


def coins(count: int, rate: float, seed: int, name: str) -> npt.NDArray[np.int64]:
    """The ascending positions in 0 ... count - 1 that a coin of probability `rate` chooses."""
    if rate <= 0 or count == 0:
        return np.empty(0, np.int64)
    if rate > 0.5:  # skip from one that is left out to the next; 1 - rate is exact here
        chosen = np.ones(count, np.bool_)
        chosen[coins(count, 1 - rate, seed, name)] = False
        return np.flatnonzero(chosen)
    table, mean = gap_table(rate), count * rate
    size = int(mean + 6 * mean**0.5 + count / LONGEST) + 16  # almost surely enough
    while True:
        words = draws.words(seed, "bernoulli", name, size).numpy().view(np.uint32)
        found, reached = table.walk(words)
        if reached >= count:
            return found[: np.searchsorted(found, count)]
        size *= 2


@attrs.frozen(eq=False)
class GapTable:
    """thresholds: T_j ascending. cells: the gap for each upper half of a word, -1 = look it up.

    cut: there are more than LONGEST thresholds, so that the longest gap means "at least that".
    """

    thresholds: npt.NDArray[np.uint32]
    cells: npt.NDArray[np.int32]
    cut: bool

    def gaps(self, words: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """How many elements are passed over, one number for each word."""
        found = np.take(self.cells, (words >> np.uint32(16)))
        open_ = np.flatnonzero(found < 0)
        found[open_] = count_above(self.thresholds, words[open_])
        return found

    def walk(self, words: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.int64], int]:
        """The positions that are chosen, and how many elements these words decide about."""
        gaps = self.gaps(words)
        ends = gaps < len(self.thresholds) if self.cut else np.True_  # at a chosen element
        reached = np.cumsum(gaps + ends, dtype=np.int64)
        total = int(reached[-1])
        reached -= 1
        return (reached.compress(ends) if self.cut else reached), total


@functools.lru_cache(maxsize=8)
def gap_table(rate: float) -> GapTable:
    """The table of a rate in (0, 1), from 128-bit fixed-point powers of 1 - rate."""
    factor = int((1 - Fraction(rate)) * 2**128)
    power, thresholds = factor, list[int]()
    while power >> 96 and len(thresholds) < LONGEST:
        thresholds.append(power >> 96)
        power = power * factor >> 128
    ascending = np.minimum(np.array(thresholds[::-1], np.int64), 2**32 - 1)
    starts = np.arange(2**16, dtype=np.int64) << 16
    first, last = count_above(ascending, starts), count_above(ascending, starts | 0xFFFF)
    cells = np.where(first == last, first, -1).astype(np.int32)
    return GapTable(ascending.astype(np.uint32), cells, bool(power >> 96))


def count_above(
    ascending: npt.NDArray[np.integer], words: npt.NDArray[np.integer]
) -> npt.NDArray[np.int64]:
    """For each word the number of entries above it."""
    return len(ascending) - np.searchsorted(ascending, words, side="right")
