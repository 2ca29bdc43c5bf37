"""A ticket as one safetensors file: what it says, checked before anything is built from it.

Masks, draw numbers and signs are bytes: with one table for each parameter (`ticketcodes`), or, for
large networks that were redrawn by coins, with odds for each bit (`ticketstreams`). Everything else
of the state dict is a tensor "state.NAME", or a number in the header where all its elements are
equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import numpy as np
import torch
from torch import Tensor

from prunekit.errors import StorageError
from prunekit.tensorfile import read_tensors, write_tensors
from prunekit.tickets.by_odds import STREAMS, Truth, coded, decoded
from prunekit.tickets.by_tables import (
    Numbers,
    coded_bits,
    coded_numbers,
    decoded_bits,
    decoded_numbers,
)
from prunekit.tickets.header import VERSION, Header, header_from
from prunekit.tickets.rans import Integers

KIND = "prunekit ticket"
STATE, ODDS = "state.", ".odds"
MASKS = ("masks", "masks" + ODDS)
FREE_WEIGHTS, WEIGHTS_PER_BYTE = 2**26, 4096
"""A file may ask for this many weights, and for so many more a byte: an honest one does not."""
LEAST = 2**18
"""Weights of a network for which odds are worth their time."""

DAMAGED = (KeyError, ValueError, TypeError, OverflowError, RecursionError, IndexError)


@attrs.frozen(eq=False)
class Ticket:
    """A network as a seed and bits.

    masks: flat bool, one for each part. extra: for each part, of its kept weights in order the
    draw numbers (int64) or whether the sign is turned (bool); [] for values "initial". state: what
    is not rebuilt, by name.
    """

    header: Header
    masks: list[Integers]
    extra: list[Integers]
    state: dict[str, Tensor]

    @property
    def size(self) -> int:
        """Numbers that the network is known to have."""
        return self.header.total + sum(tensor.numel() for tensor in self.state.values())


def write(ticket: Ticket, path: str | Path) -> None:
    """Write a ticket, atomically. Equal tickets give equal bytes, but for odds fitted twice."""
    forms = [_by_tables(ticket), *_by_odds(ticket)]
    header, tensors = min(forms, key=lambda each: sum(t.nbytes for t in each[1].values()))
    tensors |= {STATE + name: tensor for name, tensor in ticket.state.items()}
    text = json.dumps(attrs.asdict(header), separators=(",", ":"))
    write_tensors(path, tensors, {"kind": KIND, "ticket": text})


def _by_tables(ticket: Ticket) -> tuple[Header, dict[str, Tensor]]:
    header = attrs.evolve(ticket.header, coins=None)
    tensors = {"masks": _bytes(coded_bits(ticket.masks))}
    if header.values == "signs":
        tensors["signs"] = _bytes(coded_bits(ticket.extra))
    if header.values == "draws":
        numbers = coded_numbers(ticket.extra)
        tensors["draws"], tensors["draws.low"] = _bytes(numbers.stream), _bytes(numbers.low)
        tensors["draws.tables"] = torch.from_numpy(numbers.tables)
        header = attrs.evolve(header, shift=numbers.shift)
    return header, tensors


def _by_odds(ticket: Ticket) -> Iterator[tuple[Header, dict[str, Tensor]]]:
    """The same with odds: nothing where no coins are known, or where it would not pay."""
    header, coins = ticket.header, ticket.header.coins
    if header.values != "draws" or coins is None or header.total < LEAST:
        return
    shapes = [part.shape for part in header.parts]
    if not coins.bearable(shapes, header.total // 8):
        return
    found = coded(header.streams, Truth.of(ticket.masks, ticket.extra))
    if found is not None:
        tensors = {name: _bytes(stream) for name, (stream, _) in found.items()}
        tensors |= {name + ODDS: torch.from_numpy(o.flat) for name, (_, o) in found.items()}
        if coins.bearable(shapes, sum(tensor.nbytes for tensor in tensors.values())):
            yield header, tensors


def read(path: str | Path, most_weights: int | None = None) -> Ticket:
    """The ticket in a file, its bits decoded; nothing is built.

    Raises StorageError in one line for a file that is damaged, foreign, of a later version, or
    that asks for more weights than `most_weights` (default: 2^26, and 4,096 more a byte).
    """
    tensors, header = opened(path)
    if most_weights is None:
        most_weights = FREE_WEIGHTS + WEIGHTS_PER_BYTE * Path(path).stat().st_size
    if header.total > most_weights:
        raise StorageError(
            f"{path} asks for {header.total:,} weights, more than {most_weights:,}; if you trust "
            "it, raise most_weights"
        )
    shapes, size = [part.shape for part in header.parts], Path(path).stat().st_size
    if header.coins and not header.coins.bearable(shapes, size):
        events = f"{header.coins.events:,} events of redraws"
        raise StorageError(f"{path} asks for {events}, too many for a file of its size")
    try:
        masks, extra = _decoded(header, tensors)
        state = {name[len(STATE) :]: t for name, t in tensors.items() if name.startswith(STATE)}
        return Ticket(header, masks, extra, state)
    except DAMAGED as error:
        raise _damaged(path, error) from None


def opened(path: str | Path) -> tuple[dict[str, Tensor], Header]:
    """The tensors of a ticket as they are stored, and its header, checked; decodes no bits."""
    tensors, meta = read_tensors(path)
    if meta.get("kind") != KIND:
        raise StorageError(f"{path} is no ticket; write one with `prunekit ticket save`")
    try:
        given = json.loads(meta["ticket"])
        if given["version"] != VERSION:
            raise StorageError(
                f"{path} is a ticket of version {given['version']!r}, this prunekit reads "
                f"{VERSION}; install the one that wrote it, or save it again"
            )
        if "masks" not in tensors:
            raise ValueError("it has no masks")
        return tensors, header_from(given)
    except DAMAGED as error:
        raise _damaged(path, error) from None


def _decoded(
    header: Header, tensors: Mapping[str, Tensor]
) -> tuple[list[Integers], list[Integers]]:
    """The masks, and `Ticket.extra`."""
    if header.coins is None:
        sizes = [(part.kept, part.total) for part in header.parts]
        return decoded_bits(_content(tensors, "masks"), sizes), _extra(header, tensors)
    streams = [_content(tensors, name) for name in STREAMS]
    masks, draws = decoded(header.streams, streams, [tensors[n + ODDS].numpy() for n in STREAMS])
    if [int(np.count_nonzero(mask)) for mask in masks] != [part.kept for part in header.parts]:
        raise ValueError("the masks do not keep as many weights as the header says")
    return masks, draws


def _extra(header: Header, tensors: Mapping[str, Tensor]) -> list[Integers]:
    if header.values == "signs":
        sizes = [(part.turned, part.kept) for part in header.parts]
        return decoded_bits(_content(tensors, "signs"), sizes)
    if header.values == "draws":
        tables = tensors["draws.tables"]
        if tables.dtype != torch.uint16:
            raise ValueError("the tables of the draw numbers are no uint16")
        stream, low = _content(tensors, "draws"), _content(tensors, "draws.low")
        numbers = Numbers(stream, tables.numpy(), header.shift, low)
        return decoded_numbers(numbers, [part.kept for part in header.parts])
    return []


def _bytes(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def _content(tensors: Mapping[str, Tensor], name: str) -> bytes:
    if tensors[name].dtype != torch.uint8 or tensors[name].ndim != 1:
        raise ValueError(f"{name} holds no bytes")
    return tensors[name].numpy().tobytes()


def _damaged(path: str | Path, error: Exception) -> StorageError:
    reason = f"{type(error).__name__}: {error}"[:200]
    return StorageError(f"{path} holds a damaged ticket ({reason}); get or make it again")
