"""From random words to values: quantile functions that are computed on integers.

A word is 32 bits, in an int32, int64 or uint32 tensor of any shape. Logarithms and exponentials
differ between devices and libraries; here a table that is shipped (docs/quantile_tables.py writes
it) is interpolated in integers, and a float appears only in the last steps, each of them one
rounding that IEEE 754 fixes. So a word gives the same bits everywhere.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from pathlib import Path
from typing import final

import attrs
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from prunekit.errors import SpecError

TABLES = Path(__file__).with_name("quantiles.safetensors")
SMALLEST = float(np.finfo(np.float32).tiny)
"""Below this, float32 loses bits: values would be rounded, or 0."""


def uniform_values(words: Tensor, bound: float) -> Tensor:
    """U(-bound, bound), float32 of the words' shape: one of 2^24 equidistant values.

    -bound is among them.
    """
    return (words.to(torch.int32) >> 8).to(torch.float32).mul_(_step(bound))


def sign_values(words: Tensor, size: float) -> Tensor:
    """+size or -size, float32 of the words' shape, each with probability 1/2.

    The word's highest bit is the minus.
    """
    return (words.to(torch.int32) >> 31 | 1).to(torch.float32).mul_(_float32(size))


def normal_values(words: Tensor, deviation: float) -> Tensor:
    """N(0, deviation^2), float32 of the words' shape, to 1e-6 deviations in the quantile.

    The highest bit is the sign, the others count the upper tail in steps of 2^-32, so no size is
    over 6.4 deviations. An octave of tail probabilities has 256 nodes, linearly interpolated.
    """
    word = words.to(torch.int32).to(torch.int64)
    tail = ((word & 0x7FFFFFFF) << 1 | 1).to(torch.float64).view(torch.int64)  # exact
    index, part = (tail >> 44) - (1023 << 8), tail >> 20 & 0xFFFFFF  # octave and node; the rest
    table = _table("normal", words.device)
    size = table[index]
    size += (table[index + 1] - size) * part + (1 << 23) >> 24
    values = torch.where(word < 0, -size, size).to(torch.float32)
    return values.mul_(2.0**-24).mul_(_float32(deviation, 2**24))


def log_uniform_values(words: Tensor, low: float, high: float) -> Tensor:
    """Density proportional to 1 / |w| for low <= |w| <= high, both signs alike.

    float32 of the words' shape; |w| = high 2^-t with t uniform in [0, log2(high / low)), in steps
    of 2^-24.
    """
    _float32(low)
    word = words.to(torch.int32).to(torch.int64)
    t = ((word & 0x7FFFFFFF) << 1 | 1) * octaves(low, high) >> 32
    table, index, part = _table("power", words.device), t >> 14 & 0x3FF, t & 0x3FFF
    size = table[index]
    size += (table[index + 1] - size) * part + (1 << 13) >> 14
    scale = (127 - 30 - (t >> 24) << 23).to(torch.int32).view(torch.float32)  # a power of two
    signed = torch.where(word < 0, -size, size).to(torch.float32)
    return signed.mul_(scale).mul_(_float32(high))


@final
@attrs.frozen
class Uniform:
    """U(-bound, bound): words of any shape -> `uniform_values`, in a form for kernels too."""

    bound: float

    def __call__(self, words: Tensor) -> Tensor:
        return uniform_values(words, self.bound)

    @property
    def factor(self) -> float:
        """The float32 with which the word's upper 24 bits, as a signed number, are multiplied."""
        return _step(self.bound)


@final
@attrs.frozen
class Sign:
    """+size or -size: words of any shape -> `sign_values`, in a form for kernels too."""

    size: float

    def __call__(self, words: Tensor) -> Tensor:
        return sign_values(words, self.size)

    @property
    def factor(self) -> float:
        """The float32 with which the sign is multiplied."""
        return _float32(self.size)


def octaves(low: float, high: float) -> int:
    """floor(2^24 log2(high / low)) in integer arithmetic, for 0 < low <= high <= 2^90 low."""
    ratio, whole = Fraction(high) / Fraction(low), 0
    while ratio >= 2:
        ratio, whole = ratio / 2, whole + 1
    square, found = int(ratio * 2**96), whole
    for _ in range(24):
        square = square * square >> 96
        bit = square >> 97
        square, found = square >> bit, found << 1 | bit
    return found


@functools.cache
def _table(name: str, device: torch.device) -> Tensor:
    return load_file(TABLES)[name].to(device, torch.int64)


def _step(bound: float) -> float:
    """The distance of uniform values: a power of two scales without rounding."""
    return _float32(bound, 2**23) / 2**23


def _float32(value: float, steps: int = 1) -> float:
    """The nearest float32: torch may keep more digits of a Python number.

    Raises SpecError for one that overflows, and where one of its `steps` equal parts underflows.
    """
    with np.errstate(over="ignore", under="ignore"):
        nearest = float(np.float32(value))
    if not steps * SMALLEST <= abs(nearest) < math.inf:
        other = "smaller" if abs(nearest) > 1 else "larger"
        raise SpecError(f"weights of size {value:.4g} do not fit into float32; choose {other} ones")
    return nearest
