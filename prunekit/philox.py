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
MASK = 0xFFFFFFFF
BLOCKS = 32_768
"""Blocks that are computed at once: NumPy's calls cost little beside them, and cores' caches hold
their arrays."""

_PRODUCTS = np.array(MULTIPLIERS, np.uint64).reshape(2, 1)
_FACTORS = (_PRODUCTS, _PRODUCTS[::-1].copy())
_HALF, _LOW = np.array(32, np.uint64), np.array(MASK, np.uint64)


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


def room(size: int) -> Words:
    """Memory in which `blocks` may compute `size` blocks; who calls it often gives it each time."""
    return np.empty((4, 2 * size), np.uint64)


def blocks(
    address: Address, index: Words, draw: int | npt.NDArray[Any], within: Words | None = None
) -> npt.NDArray[np.int32]:
    """The words of the blocks `index`, int32 (len(index), 4): the bits of unsigned words.

    draw: below 2^32, one for all blocks or one for each. within: a `room` for as many blocks; the
    words lie in it, until it is given again.
    """
    count = len(index)
    keys = np.array([*round_keys(address.key)], np.uint64)
    within = room(count) if within is None else within
    even, odd, product, packed = (part[: 2 * count].reshape(2, count) for part in within)
    _two_rounds(address.name, index, draw, keys[:2], even, odd, product[0])
    for number, pair in enumerate(keys[2:, :, None], 2):
        # The rows change places in every round; that of word 0 takes the first key.
        swapped = number % 2
        np.multiply(even, _FACTORS[swapped], product)
        np.right_shift(product, _HALF, even)
        np.bitwise_xor(even, odd[::-1], even)
        np.bitwise_xor(even, pair if swapped else pair[::-1], even)
        if number < ROUNDS - 1:
            np.bitwise_and(product, _LOW, product)
            odd, product = product, odd
    np.left_shift(product, _HALF, product)
    packed = packed.reshape(count, 2)
    np.bitwise_or(even, product, packed.T)
    return packed.astype("<u8", copy=False).view("<i4")


def _two_rounds(
    name: tuple[int, int], index: Words, draw: Any, keys: Words, even: Words, odd: Words, a: Words
) -> None:
    """Write the words after two rounds: 0 and 2 into `even`, 1 and 3 into `odd`; `a` is memory.

    In these rounds half of the words are the same for all blocks of one draw, single numbers.
    """
    (k0, k1), (l0, l1) = keys
    b = np.asarray(draw, np.uint64) * _PRODUCTS[1, 0]
    c0, c1 = (b >> _HALF) ^ (np.uint64(name[0]) ^ k0), b & _LOW
    c2, c3 = even[1], odd[1]
    np.multiply(index, _PRODUCTS[0, 0], a)
    np.bitwise_xor(np.right_shift(a, _HALF, c2), np.uint64(name[1]) ^ k1, c2)
    np.bitwise_and(a, _LOW, c3)
    a, b = c0 * _PRODUCTS[0, 0], np.multiply(c2, _PRODUCTS[1, 0], a)
    np.bitwise_xor(np.right_shift(b, _HALF, even[0]), c1 ^ l0, even[0])
    np.bitwise_and(b, _LOW, odd[0])
    np.bitwise_xor(c3, (a >> _HALF) ^ l1, even[1])
    odd[1] = a & _LOW


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
