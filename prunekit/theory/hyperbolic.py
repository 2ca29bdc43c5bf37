"""The random network of "Logarithmic Pruning", one layer at a time, never stored.

Orseau, Hutter & Rivasplata, NeurIPS 2020, section 4. Between layers i - 1 and i of the target
stand M neurons with weights U (M, n_{i-1}) into them and V (n_i, M) out of them. Every weight has
a random sign and a magnitude alpha (beta / alpha)^u, u uniform on [0, 1] (Remark 11). Here U[z, a]
is made of the word (element z, draw a) of one stream and V[b, z] of the word (element z, draw b)
of another: bit 0 is the sign, the 31 bits h above it are the magnitude, u = (h + 1/2) / 2^31.

A product |V[b, z] U[z, a]| is in category i if it lies in (gamma^{i+1}, gamma^i] w_max. Its
logarithm is linear in the sum of both h, so a table over the top 14 bits of that sum tells the
category. Cells that a border between categories crosses count as none: a neuron passed over.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt
import torch

from prunekit.draws import philox
from prunekit.draws.chance import words_at
from prunekit.draws.philox import Address

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

GAMMA = 2 / 3
STREAM = "oracle"
GUARD = 1e-6
"""Widens a cell, in units of a category: more than rounding and the half above."""
CELLS = 14
"""Bits of a sum of two magnitudes that choose its category."""


@attrs.frozen
class Law:
    """How weights are distributed, and the k categories of their products."""

    alpha: float
    beta: float
    w_max: float
    k: int

    @property
    def log_range(self) -> float:
        return math.log(self.beta / self.alpha)

    def magnitudes(self, words: Words) -> Floats:
        """|weight| of words."""
        u = (_high(words) + 0.5) / 2.0**31
        return self.alpha * np.exp(u * self.log_range)

    def values(self, words: Words) -> Floats:
        """Weights of words."""
        return np.where(words & 1, -1.0, 1.0) * self.magnitudes(words)

    def bounds(self) -> Floats:
        """gamma^i w_max for i = 0 ... k: the greedy decomposition's thresholds (Lemma 9)."""
        return self.w_max * GAMMA ** np.arange(self.k + 1.0)

    def table(self) -> npt.NDArray[np.int16]:
        """The key of each (signs differ, sign of U, cell): 1 ... k where U > 0, then k + 2 ...

        A key of 0 stands for no category or the wrong sign.
        """
        ends = np.arange(2**CELLS + 1) * 2.0 ** (1 - CELLS)
        logs = 2 * math.log(self.alpha) - math.log(self.w_max) + ends * self.log_range
        category = np.floor(logs / math.log(GAMMA) + GUARD * np.array([[1.0], [-1.0]]))
        first, last = category[0, :-1], category[1, 1:]
        sound = (first == last) & (first >= 1) & (first <= self.k)
        positive = np.where(sound, first, 0).astype(np.int16)
        negative = np.where(sound, first + self.k + 1, 0).astype(np.int16)
        return np.concatenate([positive, negative, np.zeros(2 ** (CELLS + 1), np.int16)])


@attrs.frozen
class RandomLayer:
    """The M neurons between two layers of the target, addressed by number."""

    law: Law
    seed: int
    number: int
    keys: npt.NDArray[np.int16]

    @classmethod
    def of(cls, law: Law, seed: int, number: int) -> RandomLayer:
        return cls(law, seed, number, law.table())

    def windows(self, side: str, starts: Ints, width: int, units: Ints) -> Words:
        """Words of `width` neurons from each start, int32 (len(starts), width).

        side: "in" for U, "out" for V. starts, width: multiples of 4. units: input or output.
        """
        index = (starts >> 2)[:, None] + np.arange(width // 4)
        address = Address.of(self.seed, STREAM, self.name(side))
        flat = index.reshape(-1).view(np.uint64)
        out = np.empty((len(flat), 4), np.int32)
        draws = np.repeat(units, width // 4)
        for first in range(0, len(flat), philox.BLOCKS):
            part = slice(first, first + philox.BLOCKS)
            out[part] = philox.blocks(address, flat[part], draws[part])
        return out.reshape(len(starts), width)

    def words(self, side: str, neurons: Ints, units: Ints) -> Words:
        """Words of single weights, int32, in the shape of both arguments broadcast."""
        neurons, units = np.broadcast_arrays(neurons, units)
        numbers, draws = (torch.from_numpy(x.reshape(-1).copy()) for x in (neurons, units))
        found = words_at(self.seed, STREAM, self.name(side), numbers, draws)
        return found.numpy().reshape(neurons.shape)

    def name(self, side: str) -> str:
        return f"{self.number}.{side}"

    def categories(self, into: Words, out: Words, negative: Bools) -> npt.NDArray[np.int16]:
        """The key (see Law.table) of each product, int16 (rows, neurons).

        into, out: words of U and V, (rows, neurons). negative: (rows,), sign of the target.
        """
        cell = _high(into)
        cell += _high(out)
        cell >>= np.uint32(32 - CELLS)
        signs = into & 1
        cell |= signs.view(np.uint32) << np.uint32(CELLS)
        signs ^= out & 1
        signs ^= negative[:, None]
        cell |= signs.view(np.uint32) << np.uint32(CELLS + 1)
        return self.keys.take(cell)


def _high(words: Words) -> npt.NDArray[np.uint32]:
    """The 31 magnitude bits."""
    return words.view(np.uint32) >> np.uint32(1)
