"""Which of many elements a coin of probability r chooses: one random byte each, seldom a word.

With t = floor(256 r) and F = floor((256 r - t) 2^32), exact integers, element i has

    byte_i = byte i mod 4 (lowest first) of the word of element i // 4 in stream "bernoulli"
    rest_i = its own word in stream "bernoulli rest", as an unsigned number

    chosen  <=>  byte_i < t,  or  byte_i = t and rest_i < F

so P(chosen) = t / 256 + F / 2^40: r rounded down to a multiple of 2^-40, and r itself at 0 and 1.
Like everything in chance.py, a coin is a pure function of (seed, stream, parameter, element, draw),
and of r: no other element takes part. The draw is 0, as each event has a seed of its own.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prunekit.draws import chance, philox
from prunekit.errors import SpecError

STREAM, REST = "bernoulli", "bernoulli rest"


def bernoulli_positions(among: Tensor, rate: float, rng: torch.Generator, name: str) -> Tensor:
    """The flat positions where `among` is True and a coin of probability `rate` too.

    among: bool of any shape. Returns ascending int64 (chosen,) on its device; positions count
    in row-major order, whatever the memory format. The coin of an element is a function of
    `rng.initial_seed()`, `name`, `rate` and its position, the same on every device and whatever
    is asked about the others.
    rate: in [0, 1], exact at both ends, otherwise rounded down to a multiple of 2^-40.
    Raises SpecError for another rate, and for `among` that is not bool.
    """
    if among.dtype != torch.bool:
        raise SpecError(f"among must be bool: {among.dtype}; use `~mask`")
    flat, seed = among.reshape(-1), rng.initial_seed()
    if rate in (0, 1):
        return flat.nonzero()[:, 0] if rate else flat.new_empty(0, dtype=torch.int64)
    chosen = chosen_on_cpu if flat.device.type == "cpu" else chosen_in_torch
    return chosen(flat, *thresholds(rate), seed, name)


def thresholds(rate: float) -> tuple[int, int]:
    """(t, F) of the formula: t in [0, 256], F in [0, 2^32); SpecError for a rate outside [0, 1]."""
    if not 0 <= rate <= 1:
        raise SpecError(f"rate must lie in [0, 1]: {rate}")
    scaled = Fraction(rate) * 256
    return int(scaled), int(scaled % 1 * 2**32)


def chosen_on_cpu(
    flat: Tensor, cut: int, rest: int, seed: int, name: str, start: int = 0
) -> Tensor:
    """The positions in `flat` (bool, 1-d) that the coin of t = `cut` and F = `rest` chooses.

    start: the number of the first element, a multiple of 16; positions count from 0 all the same.
    """
    found, thrown = up_to(flat.numpy(), cut, philox.Address.of(seed, STREAM, name), start)
    keep = thrown < cut
    undecided = np.flatnonzero(thrown == cut)
    own = chance.words_at(seed, REST, name, torch.from_numpy(found.take(undecided) + start))
    keep[undecided] = own.numpy().view(np.uint32) < rest
    return torch.from_numpy(found.compress(keep))


def chosen_in_torch(flat: Tensor, cut: int, rest: int, seed: int, name: str) -> Tensor:
    """`chosen_on_cpu` for any device."""
    words = chance.words(seed, STREAM, name, -(-len(flat) // 4), device=flat.device)
    thrown = words.view(torch.uint8)[: len(flat)]
    found = ((thrown <= cut) & flat).nonzero()[:, 0]
    own = chance.words_at(seed, REST, name, found).to(torch.int64) & philox.MASK
    return found[(thrown[found] < cut) | (own < rest)]


def up_to(
    among: npt.NDArray[np.bool_], cut: int, address: philox.Address, first: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """The positions where `among` is True and the byte at most `cut`, and these bytes.

    first: the number of the first element, a multiple of 16.
    """
    found, thrown = [np.empty(0, np.int64)], [np.empty(0, np.uint8)]
    for start in range(0, len(among), 16 * philox.BLOCKS):
        part = among[start : start + 16 * philox.BLOCKS]
        begin = (first + start) // 16
        index = np.arange(begin, begin - (-len(part) // 16), dtype=np.uint64)
        words = philox.blocks(address, index, 0)
        some = words.astype("<i4", copy=False).view(np.uint8).reshape(-1)
        hits = some <= cut
        hits[len(part) :] = False
        hits[: len(part)] &= part
        at = true_positions(hits)
        thrown.append(some.take(at))
        found.append(np.add(at, start, out=at))
    return np.concatenate(found), np.concatenate(thrown)


def true_positions(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """np.flatnonzero for a multiple of four flags, of which about 5 % are True: half of its time.

    Where few are True, NumPy jumps from one to the next, which processors mispredict; by fours it
    does not.
    """
    fours = flags.view(np.uint32)
    found = np.flatnonzero(fours != 0)
    inside = np.flatnonzero(fours.take(found).view(np.bool_))
    places = found.take(inside >> 2)
    places <<= 2
    inside &= 3
    places |= inside
    return places
