"""What a ticket says of itself, in JSON: checked before anything is built or drawn from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import attrs

from prunekit.tickets.coding.coins import Coins

VERSION = 2
MOST_INPUTS = 2**27
"""Numbers of one input, at most; a video of 64 frames of 512 x 512 pixels has 2^26."""
MOST_NUMBERS = 2**48

Values = Literal["initial", "draws", "signs"]
"""Where kept weights come from: draw 0, the draw numbers, or draw 0 with some signs flipped."""


@attrs.frozen
class Part:
    """One parameter that is drawn again: `kept` of its weights, `turned` of them by sign."""

    name: str
    shape: tuple[int, ...]
    kept: int
    turned: int = 0

    @property
    def total(self) -> int:
        return math.prod(self.shape)


@attrs.frozen
class Origin:
    """What a network was before it was pruned.

    arch None: a file of its own, which the reader must give. mean, std: the network takes
    (x - mean) / std of each channel; empty where its inputs are no images.
    """

    arch: dict[str, Any] | None
    input_shape: tuple[int, ...]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    init: dict[str, Any]
    seed: int


@attrs.frozen
class Header:
    """What a ticket says in words.

    constants: what is one number throughout, by name. shift: see `by_tables.Numbers`. coins: how
    pruned weights were redrawn, where masks and draws have odds from them.
    """

    origin: Origin
    values: Values
    parts: tuple[Part, ...]
    constants: dict[str, float]
    sha256: str = ""
    shift: int = 0
    coins: Coins | None = None
    version: int = VERSION

    @property
    def total(self) -> int:
        """Weights that are drawn again, kept or not."""
        return sum(part.total for part in self.parts)

    @property
    def kept(self) -> int:
        return sum(part.kept for part in self.parts)


def header_from(parsed: Mapping[str, Any]) -> Header:
    """The header that a JSON object describes; a PrunekitError or ValueError where it is none."""
    _keys(parsed, Header)
    parts = tuple(map(_part, parsed["parts"]))
    if len({part.name for part in parts}) < len(parts):
        raise ValueError("a parameter is named twice")
    if sum(part.total for part in parts) >= MOST_NUMBERS:
        raise ValueError("no network has so many weights")
    if parsed["values"] not in get_args(Values):
        raise ValueError(f"unknown values {parsed['values']!r:.40}")
    return Header(
        origin=_origin(parsed["origin"]),
        values=parsed["values"],
        parts=parts,
        constants={
            _text(name): _number(value) for name, value in dict(parsed["constants"]).items()
        },
        sha256=_text(parsed["sha256"]),
        shift=_count(parsed["shift"]),
        coins=None if parsed["coins"] is None else _coins(parsed["coins"], parsed["values"]),
    )


def _origin(parsed: Any) -> Origin:
    _keys(parsed, Origin)
    shape = _shape(parsed["input_shape"])
    if math.prod(shape) > MOST_INPUTS:
        raise ValueError(f"no input has so many numbers: {shape}")
    return Origin(
        arch=None if parsed["arch"] is None else _component(parsed["arch"]),
        input_shape=shape,
        classes=_count(parsed["classes"]),
        mean=tuple(map(_number, parsed["mean"])),
        std=tuple(map(_number, parsed["std"])),
        init=_component(parsed["init"]),
        seed=_count(parsed["seed"]),
    )


def _part(parsed: Any) -> Part:
    _keys(parsed, Part)
    part = Part(
        _text(parsed["name"]),
        _shape(parsed["shape"]),
        _count(parsed["kept"]),
        _count(parsed["turned"]),
    )
    if not part.turned <= part.kept <= part.total:
        raise ValueError(f"{part.name} keeps {part.kept} of {part.total} weights")
    return part


def _keys(parsed: Any, wanted: type[attrs.AttrsInstance]) -> None:
    """ValueError unless `parsed` has the fields of a class and nothing else."""
    names = {field.name for field in attrs.fields(wanted)}
    if not isinstance(parsed, dict) or parsed.keys() != names:
        raise ValueError(
            f"the {wanted.__name__.lower()} says {', '.join(sorted(names))} and no more"
        )


def _coins(parsed: Any, values: str) -> Coins:
    _keys(parsed, Coins)
    rate, events = _number(parsed["rate"]), _count(parsed["events"])
    if values != "draws" or not 0 <= rate <= 1:
        raise ValueError(f"no coins: {parsed!r:.80}")
    return Coins(rate, events)


def _component(parsed: Any) -> dict[str, Any]:
    """A name and its options; lists are tuples, as options have them."""
    if not isinstance(parsed, dict) or "name" not in parsed:
        raise ValueError("a component has no name")
    _text(parsed["name"])
    return {_text(key): _option(value) for key, value in parsed.items()}


def _option(parsed: Any) -> Any:
    """A value that an option may have, as short as options are."""
    if isinstance(parsed, list) and len(parsed) <= 1000:
        return tuple(map(_option, parsed))
    if parsed is None or isinstance(parsed, bool):
        return parsed
    return _text(parsed) if isinstance(parsed, str) else _number(parsed)


def _text(parsed: Any) -> str:
    """A name as it may be printed: on one line, without what a terminal obeys."""
    if not isinstance(parsed, str) or not parsed.isprintable() or len(parsed) > 1000:
        raise ValueError(f"no name: {parsed!r:.80}")
    return parsed


def _shape(parsed: Any) -> tuple[int, ...]:
    if not isinstance(parsed, list) or len(parsed) > 16:
        raise ValueError(f"no shape: {parsed!r:.80}")
    shape = tuple(_count(length) for length in parsed)
    if any(length >= 2**63 for length in shape):
        raise ValueError(f"no shape: {parsed!r:.80}")
    return shape


def _count(parsed: Any) -> int:
    if type(parsed) is not int or not 0 <= parsed < 2**64:
        raise ValueError(f"no count: {parsed!r:.80}")
    return parsed


def _number(parsed: Any) -> float:
    if type(parsed) not in (int, float) or not math.isfinite(parsed):
        raise ValueError(f"no number: {parsed!r:.80}")
    return parsed
