"""Where chance comes from: generators for each purpose, and words that are addressed by counter.

A word is 32 random bits and a pure function of (seed, stream, parameter, element, draw): the same
on every device, for any number of threads, in any order and for any part of a parameter. Words are
int32 tensors that hold the bits of an unsigned number.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prunekit.draws import philox
from prunekit.draws.philox import Address
from prunekit.draws.quantiles import Sign, Uniform
from prunekit.errors import SpecError

Integers = npt.NDArray[Any]

MOST = 2**34
"""Elements of one parameter that can be addressed: 2^32 blocks of four words."""
SCORES = "scores"
"""The stream of `uniform_scores`."""


def fold(seed: int, *stream: str | int) -> int:
    """A 63-bit seed for one purpose: equal arguments give equal seeds, others unrelated ones.

    Raises SpecError for a seed that is no integer; NumPy's and torch's count as Python's.
    """
    try:
        text = repr((operator.index(seed), *stream)).encode()
    except TypeError:
        raise SpecError(f"a seed must be an integer: {seed!r}") from None
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def generator(seed: int, *stream: str | int) -> torch.Generator:
    """A CPU generator for one purpose, e.g. `generator(seed, "sample", round)`."""
    return torch.Generator().manual_seed(fold(seed, *stream))


def seed_from(rng: torch.Generator | None) -> int:
    """A seed in [0, 2^62) from a generator of any device; from torch's own where it is None."""
    device = "cpu" if rng is None else rng.device
    return int(torch.randint(2**62, (), generator=rng, device=device))


def words(
    seed: int,
    stream: str,
    parameter: str,
    count: int,
    draw: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The words of elements 0 ... count - 1, int32 (count,) on `device`.

    seed: its lowest 64 bits count. draw: in [0, 2^32). Raises SpecError for over 2^34 elements.
    """
    address = _address(seed, stream, parameter, count, draw)
    out = torch.empty(count, dtype=torch.int32, device=device)
    return _fill(out, lambda bits: bits, address, draw)


def fill(
    out: Tensor,
    values: Callable[[Tensor], Tensor],
    seed: int,
    stream: str,
    parameter: str,
    draw: int = 0,
) -> Tensor:
    """Write `values(words)` of every element into `out` and return it.

    values: elementwise; gets int32 words, 1-d, some of them at a time. out: in any memory format;
    element i is the i-th in row-major order.
    """
    address = _address(seed, stream, parameter, out.numel(), draw)
    if out.is_contiguous():
        _fill(out.view(-1), values, address, draw)
        return out
    flat = torch.empty(out.numel(), dtype=out.dtype, device=out.device)
    return out.copy_(_fill(flat, values, address, draw).view(out.shape))


def uniform_scores(shape: Sequence[int], bound: float, rng: torch.Generator, name: str) -> Tensor:
    """Initial scores U(-bound, bound) of the parameter `name`, float32 `shape`, on the CPU.

    The score of row-major element i is `prunekit.uniform_values` of word i of seed
    `rng.initial_seed()`, stream "scores", draw 0: a function of that seed, `name` and i, on every
    device and whatever else is drawn; `rng` itself stays where it stands. Raises SpecError for a
    bound that is not above 0 or that float32 cannot hold, and for over 2^34 elements.
    """
    if bound <= 0:
        raise SpecError(f"the bound of uniform scores must be above 0: {bound}")
    out = torch.empty(tuple(shape), dtype=torch.float32, device="cpu")
    return fill(out, Uniform(bound), rng.initial_seed(), SCORES, name)


def words_at(
    seed: int, stream: str, parameter: str, elements: Tensor, draw: int | Tensor = 0
) -> Tensor:
    """The words of some elements, int32 on their device, in their order.

    elements: integers in [0, 2^34), 1-d. draw: one for all, or one for each element, in [0, 2^32).
    Raises SpecError for others on the CPU; elsewhere nothing waits for the device to look at them.
    """
    elements = elements.long()
    address = _address(seed, stream, parameter, 0, draw if isinstance(draw, int) else 0)
    if elements.device.type != "cpu":
        return _device_words_at(address, elements, draw)
    _check_range("elements", elements, MOST)
    if not isinstance(draw, Tensor):
        return torch.from_numpy(_words_at(address, elements.numpy(), draw))
    _check_range("draw numbers", draw, philox.MASK + 1)
    if len(draw) != len(elements):
        raise SpecError(f"{len(draw)} draw numbers for {len(elements)} elements; give one for each")
    return torch.from_numpy(_words_at(address, elements.numpy(), draw.numpy()))


def _check_range(what: str, numbers: Tensor, end: int) -> None:
    if not numbers.numel():
        return
    low, high = map(int, numbers.aminmax())
    if low < 0 or high >= end:
        raise SpecError(f"{what} lie in [0, {end}): {low} to {high}")


def _address(seed: int, stream: str, parameter: str, count: int, draw: int) -> Address:
    if count > MOST:
        raise SpecError(f"{parameter} has {count} weights; at most {MOST} can be drawn by counter")
    if not 0 <= draw <= philox.MASK:
        raise SpecError(f"a draw number lies in [0, 2^32): {draw}")
    return Address.of(seed, stream, parameter)


def _words_at(address: Address, elements: Integers, draw: int | Integers) -> Integers:
    out = np.empty(len(elements), np.int32)
    for start in range(0, len(elements), philox.BLOCKS):
        part = slice(start, start + philox.BLOCKS)
        index, number = elements[part], draw[part] if isinstance(draw, np.ndarray) else draw
        bits = philox.blocks(address, (index >> 2).view(np.uint64), number).reshape(-1)
        place = np.arange(0, 4 * len(index), 4)
        place += index & 3
        np.take(bits, place, out=out[part], mode="clip")  # none is outside, "raise" copies first
    return out


def _device_words(count: int, address: Address, draw: int, device: torch.device) -> Tensor:
    """The words of elements 0 ... count - 1 on any device but the CPU: by a kernel, or by torch."""
    from prunekit.draws import philox_triton  # importing Triton takes long, and few need it

    out = torch.empty(count, dtype=torch.int32, device=device)
    if not philox_triton.words(out, address, draw):
        index = torch.arange(-(-count // 4), device=device)
        out.copy_(philox.torch_blocks(address, index, draw).view(-1)[:count])
    return out


def _device_values(flat: Tensor, values: object, address: Address, draw: int) -> bool:
    """Write values without their words in memory; False, and nothing done, where that cannot be."""
    from prunekit.draws import philox_triton

    if not isinstance(values, Uniform | Sign) or flat.dtype != torch.float32:
        return False
    return philox_triton.words(flat, address, draw, values=values)


def _device_words_at(address: Address, elements: Tensor, draw: int | Tensor) -> Tensor:
    from prunekit.draws import philox_triton

    out = torch.empty(len(elements), dtype=torch.int32, device=elements.device)
    if isinstance(draw, Tensor) or not philox_triton.words(out, address, draw, elements):
        found = philox.torch_blocks(address, elements >> 2, draw)
        out = found.gather(1, (elements & 3)[:, None])[:, 0]
    return out


def _fill(flat: Tensor, values: Callable[[Tensor], Tensor], address: Address, draw: int) -> Tensor:
    """Write the values of every element of a 1-d tensor."""
    if flat.device.type != "cpu":
        if _device_values(flat, values, address, draw):
            return flat
        return flat.copy_(values(_device_words(flat.numel(), address, draw, flat.device)))
    for start in range(0, flat.numel(), 4 * philox.BLOCKS):
        part = flat[start : start + 4 * philox.BLOCKS]
        index = np.arange(start // 4, -(-(start + len(part)) // 4), dtype=np.uint64)
        bits = torch.from_numpy(philox.blocks(address, index, draw)).view(-1)
        part.copy_(values(bits[: len(part)]))
    return flat
