"""A ticket as one safetensors file: what it says, checked before anything is built from it.

`Masks`, draw numbers and signs are bytes (see `ticketcodes`), everything else of the state dict is
a tensor "state.NAME", or a number in the header where all its elements are equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import torch
from torch import Tensor

from prunekit.entropy import Integers
from prunekit.errors import StorageError
from prunekit.tensorfile import read_tensors, write_tensors
from prunekit.ticketcodes import (
    Numbers,
    coded_bits,
    coded_numbers,
    decoded_bits,
    decoded_numbers,
)

KIND, VERSION = "prunekit ticket", 1
STATE = "state."
VALUES = ("signs", "draws", "draws.low", "draws.tables")
FREE_WEIGHTS, WEIGHTS_PER_BYTE = 2**26, 4096
"""A file may ask for this many weights, and for so many more a byte: an honest one does not."""

DAMAGED = (KeyError, ValueError, TypeError, OverflowError, RecursionError, IndexError)

Values = Literal["initial", "draws", "signs"]
"""Where kept weights come from: draw 0, the draw numbers, or draw 0 with some signs turned."""


@attrs.frozen
class Part:
    """One parameter that is rebuilt: `kept` of its weights; `turned` of them have their sign."""

    name: str
    shape: tuple[int, ...]
    kept: int
    turned: int = 0

    @property
    def total(self) -> int:
        return math.prod(self.shape)


@attrs.frozen
class Header:
    """What a ticket says in words. arch None: a file of its own, which the reader must give."""

    arch: dict[str, Any] | None
    input_shape: tuple[int, ...]
    classes: int
    norm: str
    init: dict[str, Any]
    seed: int
    values: Values
    parts: tuple[Part, ...]
    constants: dict[str, float]
    sha256: str
    shift: int = 0
    version: int = VERSION

    @property
    def total(self) -> int:
        """Weights that are rebuilt, kept or not."""
        return sum(part.total for part in self.parts)

    @property
    def kept(self) -> int:
        return sum(part.kept for part in self.parts)


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
    """Write a ticket, atomically; the same ticket gives the same bytes."""
    header = ticket.header
    tensors = {STATE + name: tensor for name, tensor in ticket.state.items()}
    tensors["masks"] = _bytes(coded_bits(ticket.masks))
    if header.values == "signs":
        tensors["signs"] = _bytes(coded_bits(ticket.extra))
    if header.values == "draws":
        numbers = coded_numbers(ticket.extra)
        tensors["draws"], tensors["draws.low"] = _bytes(numbers.stream), _bytes(numbers.low)
        tensors["draws.tables"] = torch.from_numpy(numbers.tables)
        header = attrs.evolve(header, shift=numbers.shift)
    text = json.dumps(attrs.asdict(header), separators=(",", ":"))
    write_tensors(path, tensors, {"kind": KIND, "ticket": text})


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
    try:
        sizes = [(part.kept, part.total) for part in header.parts]
        masks = decoded_bits(_content(tensors, "masks"), sizes)
        state = {name[len(STATE) :]: t for name, t in tensors.items() if name.startswith(STATE)}
        return Ticket(header, masks, _extra(header, tensors), state)
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
                f"{VERSION}; install a newer one"
            )
        if "masks" not in tensors:
            raise ValueError("it has no masks")
        return tensors, header_from(given)
    except DAMAGED as error:
        raise _damaged(path, error) from None


def header_from(given: Mapping[str, Any]) -> Header:
    """The header that a JSON object describes; a PrunekitError or ValueError where it is none."""
    parts = tuple(
        Part(_text(p["name"]), _shape(p["shape"]), _count(p["kept"]), _count(p["turned"]))
        for p in given["parts"]
    )
    if len({part.name for part in parts}) < len(parts):
        raise ValueError("a parameter is named twice")
    for part in parts:
        if not part.turned <= part.kept <= part.total:
            raise ValueError(f"{part.name} keeps {part.kept} of {part.total} weights")
    if given["values"] not in ("initial", "draws", "signs"):
        raise ValueError(f"unknown values {given['values']!r:.40}")
    constants = {_text(name): _number(value) for name, value in dict(given["constants"]).items()}
    return Header(
        arch=None if given["arch"] is None else _component(given["arch"]),
        input_shape=_shape(given["input_shape"]),
        classes=_count(given["classes"]),
        norm=_text(given["norm"]),
        init=_component(given["init"]),
        seed=_count(given["seed"]),
        values=given["values"],
        parts=parts,
        constants=constants,
        sha256=_text(given["sha256"]),
        shift=_count(given["shift"]),
    )


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


def _component(given: Any) -> dict[str, Any]:
    """A name and its options; lists are tuples, as options have them."""
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise ValueError("a component has no name")
    return {_text(key): tuple(v) if isinstance(v, list) else v for key, v in given.items()}


def _text(given: Any) -> str:
    """A name as it may be printed: on one line, without what a terminal obeys."""
    if not isinstance(given, str) or not given.isprintable() or len(given) > 1000:
        raise ValueError(f"no name: {given!r:.80}")
    return given


def _shape(given: Any) -> tuple[int, ...]:
    if not isinstance(given, list) or len(given) > 16:
        raise ValueError(f"no shape: {given!r:.80}")
    shape = tuple(_count(length) for length in given)
    if any(length >= 2**63 for length in shape):
        raise ValueError(f"no shape: {given!r:.80}")
    return shape


def _count(given: Any) -> int:
    if type(given) is not int or not 0 <= given < 2**64:
        raise ValueError(f"no count: {given!r:.80}")
    return given


def _number(given: Any) -> float:
    if type(given) not in (int, float) or not math.isfinite(given):
        raise ValueError(f"no number: {given!r:.80}")
    return given


def _damaged(path: str | Path, error: Exception) -> StorageError:
    reason = f"{type(error).__name__}: {error}"[:200]
    return StorageError(f"{path} holds a damaged ticket ({reason}); get or make it again")
