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
        """Weights that are rebuilt, kept or not."""
        return sum(part.total for part in self.parts)

    @property
    def kept(self) -> int:
        return sum(part.kept for part in self.parts)


def header_from(given: Mapping[str, Any]) -> Header:
    """The header that a JSON object describes; a PrunekitError or ValueError where it is none."""
    _keys(given, Header)
    parts = tuple(map(_part, given["parts"]))
    if len({part.name for part in parts}) < len(parts):
        raise ValueError("a parameter is named twice")
    if sum(part.total for part in parts) >= MOST_NUMBERS:
        raise ValueError("no network has so many weights")
    if given["values"] not in get_args(Values):
        raise ValueError(f"unknown values {given['values']!r:.40}")
    return Header(
        origin=_origin(given["origin"]),
        values=given["values"],
        parts=parts,
        constants={_text(name): _number(value) for name, value in dict(given["constants"]).items()},
        sha256=_text(given["sha256"]),
        shift=_count(given["shift"]),
        coins=None if given["coins"] is None else _coins(given["coins"], given["values"]),
    )


def _origin(given: Any) -> Origin:
    _keys(given, Origin)
    shape = _shape(given["input_shape"])
    if math.prod(shape) > MOST_INPUTS:
        raise ValueError(f"no input has so many numbers: {shape}")
    return Origin(
        arch=None if given["arch"] is None else _component(given["arch"]),
        input_shape=shape,
        classes=_count(given["classes"]),
        mean=tuple(map(_number, given["mean"])),
        std=tuple(map(_number, given["std"])),
        init=_component(given["init"]),
        seed=_count(given["seed"]),
    )


def _part(given: Any) -> Part:
    _keys(given, Part)
    part = Part(
        _text(given["name"]), _shape(given["shape"]), _count(given["kept"]), _count(given["turned"])
    )
    if not part.turned <= part.kept <= part.total:
        raise ValueError(f"{part.name} keeps {part.kept} of {part.total} weights")
    return part


def _keys(given: Any, wanted: type[attrs.AttrsInstance]) -> None:
    """ValueError unless `given` has the fields of a class and nothing else."""
    names = {field.name for field in attrs.fields(wanted)}
    if not isinstance(given, dict) or given.keys() != names:
        raise ValueError(
            f"the {wanted.__name__.lower()} says {', '.join(sorted(names))} and no more"
        )


def _coins(given: Any, values: str) -> Coins:
    _keys(given, Coins)
    rate, events = _number(given["rate"]), _count(given["events"])
    if values != "draws" or not 0 <= rate <= 1:
        raise ValueError(f"no coins: {given!r:.80}")
    return Coins(rate, events)


def _component(given: Any) -> dict[str, Any]:
    """A name and its options; lists are tuples, as options have them."""
    if not isinstance(given, dict) or "name" not in given:
        raise ValueError("a component has no name")
    _text(given["name"])
    return {_text(key): _option(value) for key, value in given.items()}


def _option(given: Any) -> Any:
    """A value that an option may have, as short as options are."""
    if isinstance(given, list) and len(given) <= 1000:
        return tuple(map(_option, given))
    if given is None or isinstance(given, bool):
        return given
    return _text(given) if isinstance(given, str) else _number(given)


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
