"""Philox4x32-10, the counter-based generator of Random123: compiled, in NumPy and in torch.

Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
A block of four 32-bit words is a bijection, under a key of two words, of a counter of four.

Here the key is the seed, and the counter is (element // 4, name, draw, name): block b holds the
words of elements 4b ... 4b + 3. The 64 bits of `name` stand for a stream and a parameter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Words = npt.NDArray[np.uint64]

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
MASK = 0xFFFFFFFF
BLOCKS = 16_384
"""Blocks that are computed at once: cores' caches hold their words."""


@attrs.frozen
class Address:
    """Which words: key = the seed, name = 64 bits of (stream, parameter), each as two words."""

    key: tuple[int, int]
    name: tuple[int, int]

    @classmethod
    def of(cls, seed: int, stream: str, parameter: str) -> Address:
        digest = hashlib.blake2b(repr((stream, parameter)).encode(), digest_size=8).digest()
        name = int.from_bytes(digest, "little")
        return cls((seed & MASK, seed >> 32 & MASK), (name & MASK, name >> 32))


def round_keys(key: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The key of each of the ten rounds."""
    for number in range(ROUNDS):
        yield key[0] + number * WEYL[0] & MASK, key[1] + number * WEYL[1] & MASK


def blocks(address: Address, index: Words, draw: int | npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """The words of the blocks `index`, int32 (len(index), 4): the bits of unsigned words.

    draw: below 2^32, one for all blocks or one for each.
    """
    index, draws = np.require(index, np.uint64, ["C", "A"]), np.array(draw, np.uint64, ndmin=1)
    if compiled is None:
        return numpy_blocks(address, index, draws)
    out = np.empty((len(index), 4), np.int32)
    compiled.blocks(out, index, draws, address.key, address.name)
    return out


def numpy_blocks(address: Address, index: Words, draws: Words) -> npt.NDArray[np.int32]:
    """`blocks` in NumPy."""
    n1, n3 = np.array(address.name, np.uint64)
    words = philox((index, n1, draws, n3), address.key)
    return np.stack(words, axis=1).astype(np.uint32).view(np.int32)


def philox(counter: tuple[Any, ...], key: tuple[int, int]) -> tuple[Any, ...]:
    """Four output words of four counter words: int64 tensors, or uint64 arrays of NumPy.

    They hold values below 2^32, so that products keep every bit.
    """
    c0, c1, c2, c3 = counter
    for first, second in round_keys(key):
        a, b = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]  # int64 wraps: the bits are the same
        c0, c1 = (b >> 32 & MASK) ^ c1 ^ first, b & MASK
        c2, c3 = (a >> 32 & MASK) ^ c3 ^ second, a & MASK
    return c0, c1, c2, c3


def torch_blocks(address: Address, index: Tensor, draw: int | Tensor) -> Tensor:
    """`blocks` in torch, on the device of `index` (int64); int32 (len(index), 4)."""
    n1, n3 = (torch.full_like(index, part) for part in address.name)
    number = torch.zeros_like(index) + draw
    found = torch.stack(philox((index, n1, number, n3), address.key), dim=1)
    return found.to(torch.int32)


def installed() -> Any:
    """The module that was made of philox.c; None where there is none, or one of other sources."""
    try:
        import _prunekit_philox as module
    except ImportError:
        return None
    address, out = Address.of(2**64 - 1, "", ""), np.empty((17, 4), np.int32)
    index = np.arange(MASK - 16, MASK + 1, dtype=np.uint64)
    try:
        module.blocks(out, index, index[::-1].copy(), address.key, address.name)
    except (AttributeError, TypeError, ValueError):
        return None
    return module if np.array_equal(out, numpy_blocks(address, index, index[::-1])) else None


compiled = installed()
"""Computes `blocks`, if it is there."""
