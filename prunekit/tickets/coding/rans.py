"""Integers in as many bytes as their frequencies need: an entropy coder with static tables.

Range variant of asymmetric numeral systems (rANS): Duda 2013, https://arxiv.org/abs/1311.2540;
many coders side by side, one word stream: Giesen 2014, https://arxiv.org/abs/1402.3392.

A lane is one coder with a 64-bit state x in [2^31, 2^63). Symbol s with frequency f_s of 2^16,
after frequencies that sum to c_s, takes log2(2^16 / f_s) bits:

    x  ->  floor(x / f_s) * 2^16 + c_s + x mod f_s

and a state that would leave its interval gives its low 32 bits away first. Symbol i goes to lane
i mod lanes, so that numpy works on all lanes at once. All that is decoded is integers, the same on
any machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

Integers = NDArray[Any]
"""Of an integer type or bool."""
Span = tuple[Integers, Integers]
"""Of symbols: their frequencies, and those before them."""

PRECISION = 16
WHOLE = 1 << PRECISION
"""The frequencies of a table sum to this."""

LOW = 1 << 31
WORD = np.uint64(0xFFFFFFFF)
BITS_PER_LANE = 4096  # a lane costs some 6 bytes of its own: 1.2 %
STEPS = 1 << 18  # no stream takes more steps of numpy than this


def frequencies(counts: Integers) -> Integers:
    """Counts (symbols,) as int64 frequencies that sum to 2^16, at least 1 where a symbol occurs.

    Raises ValueError when nothing occurs, or more symbols than have room in a table.
    """
    counts = np.asarray(counts, np.int64)
    present, total = int(np.count_nonzero(counts)), int(counts.sum())
    if not 0 < present <= WHOLE // 2:
        raise ValueError(f"{present} symbols; a table has room for 1 to {WHOLE // 2}")
    shares = counts * (WHOLE - present) // total + (counts > 0)
    shares[np.argmax(counts)] += WHOLE - shares.sum()
    return shares


def cost(counts: Integers, table: Integers) -> float:
    """Bits that symbols with these counts take with the frequencies of `table`."""
    occurs = np.asarray(counts) > 0
    return float((counts[occurs] * (PRECISION - np.log2(table[occurs]))).sum())


def entropy(counts: Integers) -> float:
    """Bits that symbols with these counts take at the least, each coded by itself."""
    occurring = np.asarray(counts, np.float64)[np.asarray(counts) > 0]
    return float((occurring * np.log2(occurring.sum() / occurring)).sum())


def encode(parts: Sequence[tuple[Integers, Integers]]) -> bytes:
    """The parts, each (symbols, table), as bytes; `decode` with the same tables gives them back.

    symbols: (n,), each below len(table) and of a frequency above 0 in it.
    """
    parts = [(symbols, table) for symbols, table in parts if not _certain(table)]

    def span(symbols: Integers, table: Integers) -> Span:
        return table[symbols], (np.cumsum(table) - table)[symbols]

    return _coded(parts, span)


def encode_bits(parts: Sequence[tuple[Integers, Integers]]) -> bytes:
    """The parts, each (bits, shares), as bytes; `Reader.bits` with the same shares gives them back.

    bits: bool (n,). shares: uint16 (n,), above 0, 2^16 times the probability that a bit is 1.
    """

    def span(bits: Integers, ones: Integers) -> Span:
        zeros = WHOLE - ones.astype(np.int64)
        return np.where(bits, ones, zeros), np.where(bits, zeros, 0)

    return _coded(parts, span)


def _coded(
    parts: Sequence[tuple[Integers, Integers]], span: Callable[[Integers, Integers], Span]
) -> bytes:
    """Parts as bytes; span(*part): the frequencies of its symbols, and those before them."""
    bits = sum(float((PRECISION - np.log2(span(*part)[0])).sum()) for part in parts)
    total = sum(len(symbols) for symbols, _ in parts)
    lanes = max(1, int(bits) // BITS_PER_LANE, math.ceil(total / STEPS))
    states = np.full(lanes, LOW, np.uint64)
    words = [word for part in reversed(parts) for word in _taken(*span(*part), states)]
    head = [np.array([lanes], "<u4").tobytes(), states.astype("<u8").tobytes()]
    return b"".join([*head, *(word.astype("<u4").tobytes() for word in reversed(words))])


def _taken(share: Integers, before: Integers, states: Integers) -> Iterator[Integers]:
    """Take the symbols into the states, last first; yields the words that are given away."""
    share, before = share.astype(np.uint64), before.astype(np.uint64)
    limit = share << np.uint64(63 - PRECISION)
    for begin in reversed(range(0, len(share), len(states))):
        some = slice(begin, begin + len(states))
        x = states[: len(share) - begin]
        full = np.flatnonzero(x >= limit[some])
        if full.size:
            yield (x[full] & WORD).astype(np.uint32)
            x[full] >>= np.uint64(32)
        quotient, rest = np.divmod(x, share[some])
        x[:] = (quotient << np.uint64(PRECISION)) + rest + before[some]


def decode(content: bytes, parts: Sequence[tuple[int, Integers]]) -> list[Integers]:
    """What `encode` was given: for each part (count, table), its int32 symbols (count,).

    Raises ValueError for bytes that `encode` did not write for these counts and tables. Takes
    memory for the counts, and at most 2^18 steps and one a part, whatever the bytes say.
    """
    reader = Reader.of(content)
    found = [reader.symbols(count, table) for count, table in parts]
    reader.end()
    return found


@attrs.define(eq=False)
class Reader:
    """Takes the parts of a code one by one, so that each may decide how the next is coded."""

    states: Integers
    words: Integers
    at: int = 0
    taken: int = 0

    @classmethod
    def of(cls, content: bytes) -> Reader:
        """ValueError where `content` cannot be a code."""
        lanes = int(np.frombuffer(content, "<u4", 1)[0]) if len(content) >= 4 else 0
        end = 4 + 8 * lanes
        if not lanes > 0 or len(content) < end or len(content) % 4:
            raise ValueError(f"no code of symbols in {len(content)} bytes")
        states = np.frombuffer(content, "<u8", lanes, 4).astype(np.uint64)
        return cls(states, np.frombuffer(content, "<u4", offset=end).astype(np.uint64))

    def symbols(self, count: int, table: Integers) -> Integers:
        """The int32 symbols (count,) of a part with this table."""
        if _certain(table):
            return np.full(count, np.argmax(table), np.int32)
        self._take(count)
        out = np.empty(count, np.int32)
        symbol = np.repeat(np.arange(len(table), dtype=np.int32), table)  # (2^16,), by slot
        share = table.astype(np.uint64)[symbol]
        before = (np.cumsum(table) - table).astype(np.uint64)[symbol]
        offset = np.arange(WHOLE, dtype=np.uint64) - before
        for begin in range(0, count, len(self.states)):
            x = self.states[: count - begin]
            slot = (x & np.uint64(WHOLE - 1)).astype(np.intp)
            out[begin : begin + len(x)] = symbol[slot]
            x[:] = share[slot] * (x >> np.uint64(PRECISION)) + offset[slot]
            self._refill(x)
        return out

    def bits(self, shares: Integers) -> Integers:
        """The bool bits (n,) of a part with these shares (n,)."""
        self._take(len(shares))
        out, ones = np.empty(len(shares), bool), shares.astype(np.uint64)
        for begin in range(0, len(out), len(self.states)):
            x = self.states[: len(out) - begin]
            one = ones[begin : begin + len(x)]
            zero, slot = np.uint64(WHOLE) - one, x & np.uint64(WHOLE - 1)
            bit = slot >= zero
            out[begin : begin + len(x)] = bit
            high = x >> np.uint64(PRECISION)
            x[:] = np.where(bit, one * high + (slot - zero), zero * high + slot)
            self._refill(x)
        return out

    def end(self) -> None:
        """ValueError unless all was taken."""
        if self.at != len(self.words) or not (self.states == LOW).all():
            raise ValueError("the code does not end where its symbols end")

    def _take(self, count: int) -> None:
        """Count symbols; ValueError for more than a writer gives to so few lanes."""
        self.taken += count
        if self.taken > STEPS * len(self.states):
            raise ValueError(f"no code of {self.taken} symbols in {len(self.states)} lanes")

    def _refill(self, x: Integers) -> None:
        empty = np.flatnonzero(x < LOW)
        if empty.size:
            end = self.at + empty.size
            if end > len(self.words):
                raise ValueError("the code ends before its symbols end")
            x[empty] = (x[empty] << np.uint64(32)) | self.words[self.at : end]
            self.at = end


def _certain(table: Integers) -> bool:
    """Whether one symbol has all the frequency: it takes no bits at all."""
    return bool((np.asarray(table) == WHOLE).any())
