"""Integers in as many bytes as their frequencies need: an entropy coder with static tables.

Range variant of asymmetric numeral systems (rANS): Duda 2013, https://arxiv.org/abs/1311.2540;
many coders side by side, one word stream: Giesen 2014, https://arxiv.org/abs/1402.3392.

A lane is one coder with a 64-bit state x in [2^31, 2^63). Symbol s with frequency f_s of 2^16,
after frequencies that sum to c_s, takes log2(2^16 / f_s) bits:

    x  ->  floor(x / f_s) * 2^16 + c_s + x mod f_s

and a state that would leave its interval gives its low 32 bits away first. Symbol i goes to lane
i mod lanes, so that numpy works on all lanes at once. Everything is integers: equal input, equal
bytes, on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[Any]
"""Of an integer type or bool."""

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
    counts = [np.bincount(symbols, minlength=len(table)) for symbols, table in parts]
    bits = sum(cost(count, table) for count, (_, table) in zip(counts, parts))
    total = sum(len(symbols) for symbols, _ in parts)
    lanes = max(1, int(bits) // BITS_PER_LANE, math.ceil(total / STEPS))
    states = np.full(lanes, LOW, np.uint64)
    words = [word for part in reversed(parts) for word in _encoded(*part, states)]
    head = [np.array([lanes], "<u4").tobytes(), states.astype("<u8").tobytes()]
    return b"".join([*head, *(word.astype("<u4").tobytes() for word in reversed(words))])


def _encoded(symbols: Integers, table: Integers, states: Integers) -> Iterator[Integers]:
    """Take the symbols into the states, last first; yields the words that are given away."""
    share = table.astype(np.uint64)
    before = np.cumsum(share, dtype=np.uint64) - share
    limit = share << np.uint64(63 - PRECISION)
    for begin in reversed(range(0, len(symbols), len(states))):
        some = symbols[begin : begin + len(states)]
        x = states[: len(some)]
        full = np.flatnonzero(x >= limit[some])
        if full.size:
            yield x[full] & WORD
            x[full] >>= np.uint64(32)
        quotient, rest = np.divmod(x, share[some])
        x[:] = (quotient << np.uint64(PRECISION)) + rest + before[some]


def decode(content: bytes, parts: Sequence[tuple[int, Integers]]) -> list[Integers]:
    """What `encode` was given: for each part (count, table), its int32 symbols (count,).

    Raises ValueError for bytes that `encode` did not write for these counts and tables. Takes
    memory for the counts, and at most 2^18 steps and one a part, whatever the bytes say.
    """
    lanes = int(np.frombuffer(content, "<u4", 1)[0]) if len(content) >= 4 else 0
    end = 4 + 8 * lanes
    total = sum(count for count, table in parts if not _certain(table))
    if not lanes > 0 or len(content) < end or len(content) % 4 or total > STEPS * lanes:
        raise ValueError(f"no code of {total} symbols in {len(content)} bytes")
    states = np.frombuffer(content, "<u8", lanes, 4).astype(np.uint64)
    words = np.frombuffer(content, "<u4", offset=end).astype(np.uint64)
    found, at = [], 0
    for count, table in parts:
        symbols = np.full(count, np.argmax(table), np.int32)
        if not _certain(table):
            at = _decoded(symbols, table, states, words, at)
        found.append(symbols)
    if at != len(words) or not (states == LOW).all():
        raise ValueError("the code does not end where its symbols end")
    return found


def _decoded(out: Integers, table: Integers, states: Integers, words: Integers, at: int) -> int:
    """Fill `out` with symbols from the states, taking words from `at` on; returns the next."""
    symbol = np.repeat(np.arange(len(table), dtype=np.int32), table)  # (2^16,): slot -> symbol
    share = table.astype(np.uint64)[symbol]
    offset = (
        np.arange(WHOLE, dtype=np.uint64) - (np.cumsum(table) - table).astype(np.uint64)[symbol]
    )
    for begin in range(0, len(out), len(states)):
        x = states[: len(out) - begin]
        slot = (x & np.uint64(WHOLE - 1)).astype(np.intp)
        out[begin : begin + len(x)] = symbol[slot]
        x[:] = share[slot] * (x >> np.uint64(PRECISION)) + offset[slot]
        empty = np.flatnonzero(x < LOW)
        if empty.size:
            if at + empty.size > len(words):
                raise ValueError("the code ends before its symbols end")
            x[empty] = (x[empty] << np.uint64(32)) | words[at : at + empty.size]
            at += empty.size
    return at


def _certain(table: Integers) -> bool:
    """Whether one symbol has all the frequency: it takes no bits at all."""
    return bool((np.asarray(table) == WHOLE).any())
