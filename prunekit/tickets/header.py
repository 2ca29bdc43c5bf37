"""What a ticket says of itself, in JSON: checked before anything is built or drawn from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from prunekit.tickets.by_odds import Coins, Shapes

VERSION = 2

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
    """What a ticket says in words. arch None: a file of its own, which the reader must give.

    coins: how pruned weights were redrawn, where that is known; in a file, where it was used.
    """

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
    coins: Coins | None = None
    version: int = VERSION

    @property
    def streams(self) -> Shapes:
        """What the streams of `coins` are about."""
        assert self.coins is not None
        names, shapes = [p.name for p in self.parts], [p.shape for p in self.parts]
        return Shapes(names, shapes, self.coins.seeds(self.seed))

    @property
    def total(self) -> int:
        """Weights that are rebuilt, kept or not."""
        return sum(part.total for part in self.parts)

    @property
    def kept(self) -> int:
        return sum(part.kept for part in self.parts)


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
        coins=None if given["coins"] is None else _coins(given["coins"], given["values"]),
    )


def _coins(given: Any, values: str) -> Coins:
    rate, events = _number(given["rate"]), _count(given["events"])
    if values != "draws" or not 0 <= rate <= 1:
        raise ValueError(f"no coins: {given!r:.80}")
    return Coins(rate, events)


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
