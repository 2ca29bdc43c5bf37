"""Philox4x32-10, the counter-based generator of Random123, in NumPy and in torch.

Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
A block of four 32-bit words is a bijection, under a key of two words, of a counter of four. Words
are kept in 64-bit integers while they are computed, so a product of two keeps every bit.

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
CONSTANT = 2
"""Rounds in which half of the words are still the same for all blocks of one draw."""
MASK = 0xFFFFFFFF
BLOCKS = 32_768
"""Blocks that are computed at once: NumPy's calls cost little beside them, and cores' caches hold
their arrays."""

_PRODUCTS = np.array(MULTIPLIERS, np.uint64).reshape(2, 1)
_FACTORS = (_PRODUCTS, _PRODUCTS[::-1].copy())
_HALF, _LOW = np.uint64(32), np.uint64(MASK)


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


def room(size: int = BLOCKS) -> Words:
    """Memory in which `blocks` may compute `size` blocks; who calls it often gives it each time."""
    return np.empty((4, 2, size), np.uint64)


def blocks(
    address: Address, index: Words, draw: int | npt.NDArray[Any], within: Words | None = None
) -> npt.NDArray[np.int32]:
    """The words of the blocks `index`, int32 (len(index), 4): the bits of unsigned words.

    draw: below 2^32, one for all blocks or one for each. within: a `room` for as many blocks; the
    words lie in it, until it is given again.
    """
    count = len(index)
    keys = np.array([*round_keys(address.key)], np.uint64)
    counter = (
        index,
        np.uint64(address.name[0]),
        np.asarray(draw, np.uint64),
        np.uint64(address.name[1]),
    )
    for first, second in keys[:CONSTANT]:
        counter = one_round(*counter, first, second)
    within = room(count) if within is None else within
    even, odd, product = within[:3, :, :count]
    even[0], odd[0], even[1], odd[1] = counter
    for number, pair in enumerate(keys[CONSTANT:, :, None]):
        # The rows change places in every round; that of word 0 takes the first key.
        swapped = number % 2
        np.multiply(even, _FACTORS[swapped], out=product)
        np.right_shift(product, _HALF, out=even)
        np.bitwise_xor(even, odd[::-1], out=even)
        np.bitwise_xor(even, pair if swapped else pair[::-1], out=even)
        if number < ROUNDS - CONSTANT - 1:
            np.bitwise_and(product, _LOW, out=product)
            odd, product = product, odd
    np.left_shift(product, _HALF, out=product)
    packed = within[3].reshape(-1)[: 2 * count].reshape(count, 2)
    np.bitwise_or(even, product, out=packed.T)
    return packed.astype("<u8", copy=False).view("<i4")


def one_round(c0: Any, c1: Any, c2: Any, c3: Any, first: Any, second: Any) -> tuple[Any, ...]:
    """One round in NumPy; words that are the same for all blocks may be single numbers."""
    a, b = c0 * _PRODUCTS[0, 0], c2 * _PRODUCTS[1, 0]
    return (b >> _HALF) ^ (c1 ^ first), b & _LOW, (a >> _HALF) ^ (c3 ^ second), a & _LOW


def philox(counter: tuple[Tensor, ...], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Four output words of four counter words, int64 tensors that hold values below 2^32."""
    c0, c1, c2, c3 = counter
    for first, second in round_keys(key):
        a, b = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]  # wraps; the bits are those of unsigned
        c0, c1 = (b >> 32 & MASK) ^ c1 ^ first, b & MASK
        c2, c3 = (a >> 32 & MASK) ^ c3 ^ second, a & MASK
    return c0, c1, c2, c3


def torch_blocks(address: Address, index: Tensor, draw: int | Tensor) -> Tensor:
    """`blocks` in torch, on the device of `index` (int64); int32 (len(index), 4)."""
    n1, n3 = (torch.full_like(index, part) for part in address.name)
    number = torch.zeros_like(index) + draw
    found = torch.stack(philox((index, n1, number, n3), address.key), dim=1)
    return found.to(torch.int32)
