"""Masks, signs and draw numbers of a ticket as bytes, coded with tables of their frequencies.

All parameters share one stream, each with its own table. What the tables cannot make smaller is
packed, eight bits a byte, the first in the highest bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import torch
from torch import Tensor

from prunekit.tickets.coding import rans
from prunekit.tickets.coding.rans import Integers
from prunekit.tickets.header import Header
from prunekit.tickets.ticket import Ticket, as_tensor, bytes_of

TABLE = 4096  # symbols in a table of draw numbers, at most


NAMES: Mapping[str, set[str]] = {
    "initial": {"masks"},
    "signs": {"masks", "signs"},
    "draws": {"masks", "draws", "draws.low", "draws.tables"},
}
"""The tensors that `written` gives, by `Header.values`."""


def written(ticket: Ticket) -> tuple[Header, dict[str, Tensor]]:
    """A ticket's header and bits."""
    header = ticket.header
    codes = [each for each in ticket.codes if each is not None]
    tensors = {"masks": as_tensor(coded_bits(ticket.masks))}
    if header.values == "signs":
        tensors["signs"] = as_tensor(coded_bits(codes))
    if header.values == "draws":
        numbers = coded_numbers(codes)
        tensors["draws"], tensors["draws.low"] = as_tensor(numbers.stream), as_tensor(numbers.low)
        tensors["draws.tables"] = torch.from_numpy(numbers.tables)
        header = attrs.evolve(header, shift=numbers.shift)
    return header, tensors


def read(
    header: Header, tensors: Mapping[str, Tensor]
) -> tuple[list[Integers], list[Integers | None]]:
    """`Ticket.masks` and `Ticket.codes`; ValueError for what `written` did not give."""
    parts = header.parts
    masks = decoded_bits(bytes_of(tensors, "masks"), [(part.kept, part.total) for part in parts])
    if header.values == "initial":
        return masks, [None] * len(parts)
    if header.values == "signs":
        sizes = [(part.turned, part.kept) for part in parts]
        return masks, [*decoded_bits(bytes_of(tensors, "signs"), sizes)]
    tables = tensors["draws.tables"]
    if tables.dtype != torch.uint16:
        raise ValueError("the tables of the draw numbers are no uint16")
    stream, low = bytes_of(tensors, "draws"), bytes_of(tensors, "draws.low")
    numbers = Numbers(stream, tables.numpy(), header.shift, low)
    return masks, [*decoded_numbers(numbers, [part.kept for part in parts])]


def bits_table(ones: int, count: int) -> Integers:
    """The table of `count` bits of which `ones` are 1; ValueError when that cannot be."""
    if not 0 <= ones <= count:
        raise ValueError(f"{ones} ones in {count} bits")
    return rans.frequencies(np.array([count - ones, ones] if count else [1, 0]))


def coded_bits(parts: Sequence[Integers]) -> bytes:
    """Bool arrays, one for each parameter, as bytes: coded, or packed where that is smaller."""
    ones = [int(np.count_nonzero(part)) for part in parts]
    tables = [bits_table(one, len(part)) for one, part in zip(ones, parts)]
    coded = rans.encode([(part.view(np.uint8), table) for part, table in zip(parts, tables)])
    packed = np.packbits(np.concatenate(parts)).tobytes() if parts else b""
    return b"c" + coded if len(coded) < len(packed) else b"p" + packed


def decoded_bits(content: bytes, sizes: Sequence[tuple[int, int]]) -> list[Integers]:
    """The bool arrays of `coded_bits` from their bytes and, for each, (ones, count).

    Raises ValueError when the bytes hold anything else.
    """
    tables = [(count, bits_table(one, count)) for one, count in sizes]
    if content[:1] == b"c":
        parts = [part.astype(bool) for part in rans.decode(content[1:], tables)]
    else:
        parts = _unpacked(content, [count for _, count in sizes])
    ones = [int(np.count_nonzero(part)) for part in parts]
    if ones != [expected for expected, _ in sizes]:
        raise ValueError("the bits do not have as many ones as the header says")
    return parts


def _unpacked(content: bytes, counts: Sequence[int]) -> list[Integers]:
    total = sum(counts)
    if content[:1] != b"p" or len(content) - 1 != (total + 7) // 8:
        raise ValueError(f"no code of {total} bits in {len(content)} bytes")
    bits = np.unpackbits(np.frombuffer(content, np.uint8, offset=1), count=total).astype(bool)
    return np.split(bits, np.cumsum(counts)[:-1]) if counts else []


@attrs.frozen(eq=False)
class Numbers:
    """Draw numbers of the kept weights as bytes.

    tables: uint16 (1 or parameters, symbols), the frequency of each symbol, one table for all
    parameters or one each. Numbers too many for a table are cut: their lowest `shift` bits are
    packed in `low`, and the rest is the symbol.
    """

    stream: bytes
    tables: Integers
    shift: int = 0
    low: bytes = b""


def coded_numbers(parts: Sequence[Integers]) -> Numbers:
    """Draw numbers (>= 0), one array for each parameter, with one table or one each."""
    highest = max((int(part.max()) for part in parts if len(part)), default=0)
    shift = max(0, highest.bit_length() - int(math.log2(TABLE)))
    symbols = [part.astype(np.int64) >> shift for part in parts]
    size = (highest >> shift) + 1
    counts = np.array([np.bincount(part, minlength=size) for part in symbols]).reshape(-1, size)
    one = _table(counts.sum(0))[None]
    each = np.stack([_table(count) for count in counts]) if len(counts) else one
    saved = sum(map(rans.cost, counts, np.broadcast_to(one, each.shape))) - sum(
        map(rans.cost, counts, each)
    )
    tables = each if saved > 16 * (each.size - one.size) else one
    spread = np.broadcast_to(tables, each.shape)
    stream = rans.encode(list(zip(symbols, spread)))
    return Numbers(stream, _stored(tables), shift, _low_bits(parts, shift))


def decoded_numbers(numbers: Numbers, counts: Sequence[int]) -> list[Integers]:
    """The int64 draw numbers of `coded_numbers`, `counts` of them for the parameters.

    Raises ValueError when they hold anything else.
    """
    tables = numbers.tables.astype(np.int64)
    if tables.ndim != 2 or not 0 < tables.shape[1] <= TABLE or len(tables) not in (1, len(counts)):
        raise ValueError(f"no tables of {len(counts)} parameters: {tables.shape}")
    alone = (tables > 0).sum(1) == 1  # the one symbol there is; 2^16 has no room in 16 bits
    tables[alone] = np.where(tables[alone] > 0, rans.WHOLE, 0)
    if (tables.sum(1) != rans.WHOLE).any():
        raise ValueError("a table of draw numbers does not sum to 2^16")
    spread = np.broadcast_to(tables, (len(counts), tables.shape[1]))
    parts = rans.decode(numbers.stream, list(zip(counts, spread)))
    expected = (sum(counts) * numbers.shift + 7) // 8
    if not 0 <= numbers.shift <= 20 or len(numbers.low) != expected:
        raise ValueError(f"{len(numbers.low)} bytes for the {numbers.shift} low bits")
    lows = np.split(_unpacked_low(numbers, sum(counts)), np.cumsum(counts)[:-1])
    return [(part.astype(np.int64) << numbers.shift) | low for part, low in zip(parts, lows)]


def _table(counts: Integers) -> Integers:
    """The table of these counts; that of symbol 0 where nothing is counted."""
    return rans.frequencies(counts if counts.any() else np.eye(1, len(counts), dtype=int)[0])


def _stored(tables: Integers) -> Integers:
    return np.minimum(tables, rans.WHOLE - 1).astype(np.uint16)


def _unpacked_low(numbers: Numbers, count: int) -> Integers:
    bits = np.unpackbits(np.frombuffer(numbers.low, np.uint8), count=count * numbers.shift)
    places = 1 << np.arange(numbers.shift, dtype=np.int64)
    return bits.reshape(count, numbers.shift) @ places


def _low_bits(parts: Sequence[Integers], shift: int) -> bytes:
    numbers = np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64)
    bits = numbers[:, None] >> np.arange(shift) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()
