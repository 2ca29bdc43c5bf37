"""A ticket as one safetensors file: what it says, checked before anything is built from it.

Masks, draw numbers and signs are bytes: with one table for each parameter (`by_tables`), or, for
large networks that were redrawn by coins, with odds for each bit (`by_odds`). Everything else of
the state dict is a tensor "state.NAME", or a number in the header where all its elements are equal.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs
from torch import Tensor

from prunekit.errors import SpecError, StorageError
from prunekit.storage.tensorfile import read_tensors, write_tensors
from prunekit.tickets.coding import by_odds, by_tables
from prunekit.tickets.coding.coins import Coins
from prunekit.tickets.header import VERSION, Header, header_from
from prunekit.tickets.ticket import Ticket

KIND, STATE = "prunekit ticket", "state."
FREE_WEIGHTS, WEIGHTS_PER_BYTE = 2**26, 4096
"""A file may ask for this many weights, and for so many more a byte: an honest one does not."""

DAMAGED = (KeyError, ValueError, TypeError, OverflowError, RecursionError, IndexError)


@attrs.frozen(eq=False)
class Opened:
    """A ticket whose bits are still as they are stored. bits: their tensors; size: of the file."""

    path: str | Path
    size: int
    header: Header
    bits: dict[str, Tensor]
    state: dict[str, Tensor]

    @property
    def numbers(self) -> int:
        """Numbers that the network is known to have."""
        return self.header.total + sum(tensor.numel() for tensor in self.state.values())

    def refuse_more_than(self, most_weights: int | None) -> None:
        """StorageError where it asks for more than it bears; None: 2^26 weights, 4,096 a byte."""
        most = FREE_WEIGHTS + WEIGHTS_PER_BYTE * self.size if most_weights is None else most_weights
        if type(most) is not int or most < 1:
            raise SpecError(f"most_weights must be a whole number, at least 1: {most!r:.40}")
        header = self.header
        if header.total > most:
            raise StorageError(
                f"{self.path} asks for {header.total:,} weights, more than {most:,}; if you trust "
                "it, raise --most-weights (most_weights)"
            )
        coins = header.coins
        if coins and not coins.bearable([part.shape for part in header.parts], self.size):
            events = f"{coins.events:,} events of redraws"
            raise StorageError(f"{self.path} asks for {events}, too many for a file of its size")

    def decoded(self) -> Ticket:
        """The ticket. StorageError for bits that nobody coded so."""
        try:
            coding = by_odds if self.header.coins else by_tables
            masks, codes = coding.read(self.header, self.bits)
            return Ticket(self.header, masks, codes, self.state)
        except DAMAGED as error:
            raise _damaged(self.path, error) from None


def write(ticket: Ticket, path: str | Path, coins: Coins | None = None) -> None:
    """Write a ticket, atomically, in the shortest form. coins: how it was redrawn, where known.

    Equal tickets give equal bytes, but for odds fitted twice.
    """
    forms = [by_tables.written(ticket), *by_odds.written(ticket, coins)]
    header, bits = min(forms, key=lambda form: sum(bits.nbytes for bits in form[1].values()))
    tensors = bits | {STATE + name: tensor for name, tensor in ticket.state.items()}
    text = json.dumps(attrs.asdict(header), separators=(",", ":"))
    write_tensors(path, tensors, {"kind": KIND, "ticket": text})


def opened(path: str | Path) -> Opened:
    """A ticket with its header checked; decodes no bits and builds nothing.

    Raises StorageError in one line for a file that is damaged, foreign or of another version, and
    SpecError for what is no path.
    """
    if not isinstance(path, str | Path):
        raise SpecError(f"a ticket is the path of a file: {type(path).__name__}")
    if Path(path).is_dir():
        raise StorageError(f"cannot read {path}: it is no file but a folder; name the ticket in it")
    tensors, meta = read_tensors(path)
    if meta.get("kind") != KIND:
        raise StorageError(f"{path} is no ticket; write one with `prunekit ticket save`")
    try:
        parsed = json.loads(meta["ticket"])
        if parsed["version"] != VERSION:
            raise StorageError(
                f"{path} is a ticket of version {parsed['version']!r:.40}, this prunekit reads "
                f"{VERSION}; install the one that wrote it, or save it again"
            )
        header = header_from(parsed)
        state = {name[len(STATE) :]: t for name, t in tensors.items() if name.startswith(STATE)}
        bits = {name: t for name, t in tensors.items() if not name.startswith(STATE)}
        wanted = by_odds.names() if header.coins else by_tables.NAMES[header.values]
        if bits.keys() != wanted:
            raise ValueError(f"it has {_listed(bits)} where {_listed(wanted)} should be")
        return Opened(path, Path(path).stat().st_size, header, bits, state)
    except DAMAGED as error:
        raise _damaged(path, error) from None


def _listed(names: object) -> str:
    return ", ".join(sorted(names)) or "nothing"  # type: ignore[call-overload]


def _damaged(path: str | Path, error: Exception) -> StorageError:
    reason = f"{type(error).__name__}: {error}"[:200]
    return StorageError(f"{path} holds a damaged ticket ({reason}); get or make it again")
