"""What varies in a study: axes of values, conditions on them, and pieces of a spec."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from prunekit.errors import SpecError, did_you_mean
from prunekit.reports.labels import spelling
from prunekit.resolve.structure import refuse_unknown, underscored
from prunekit.spec.options import fields_of
from prunekit.spec.sections import COMPONENTS, SECTIONS, Spec, override

Piece = Mapping[str, Any]
"""Dotted key of a spec -> value."""

KEYS = tuple(field.name for field in fields_of(Spec))
NO_AXIS = ("seed", "published", "observers", "device")
"""What no axis varies: seeds have their own key, and the others change no result."""


@attrs.frozen
class Axis:
    """A column of a study's table: its values, and the piece of a spec that each stands for.

    is_key: `name` is a dotted key of a spec, whose values they are; else the values are labels.
    """

    name: str
    values: tuple[Any, ...]
    pieces: tuple[Piece, ...]
    is_key: bool

    def given(self, value: Any, where: str) -> tuple[Any, ...]:
        """The values of this axis that a condition asks for; SpecError names `where`."""
        if value in self.values:
            return (value,)
        wanted = value if isinstance(value, list | tuple) and value else [value]
        return tuple(self._one(each, where) for each in wanted)

    def _one(self, wanted: Any, where: str) -> Any:
        for value in self.values:
            if wanted == value or (isinstance(wanted, str) and says(wanted, value)):
                return value
        on_offer = ", ".join(spelling(value) for value in self.values)
        raise SpecError(f"{where}: {self.name} has no value {wanted!r}. On offer: {on_offer}.")


Condition = Mapping[str, tuple[Any, ...]]
"""Name of an axis -> the values that it may have."""


def holds(condition: Condition, cell: Mapping[str, Any]) -> bool:
    """Whether a cell meets a condition; one that has left an axis meets none on it."""
    return all(name in cell and cell[name] in values for name, values in condition.items())


def conditions(table: Mapping[str, Any], axes: Sequence[Axis], where: str) -> Condition:
    """What a table demands of a cell; SpecError for what is no axis, or no value of it."""
    known = {axis.name: axis for axis in axes}
    found: dict[str, tuple[Any, ...]] = {}
    for name, value in _dotted(table, known):
        if name not in known:
            names = ", ".join(known) or "none"
            hint = did_you_mean(name, known) or f" The axes: {names}."
            raise SpecError(f"{where}: {name!r} is no axis of this study.{hint}")
        found[name] = known[name].given(value, where)
    return found


def _dotted(table: Mapping[str, Any], known: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """Pairs of axis and value: `prune.density = 0.1` is a table in a table for TOML."""
    for key, value in table.items():
        if key in known or not isinstance(value, Mapping):
            yield (key if key in known else key.replace("-", "_")), value
        else:
            yield from ((f"{key}.{name}".replace("-", "_"), one) for name, one in value.items())


def axes_from(table: Any) -> tuple[Axis, ...]:
    """The axes of a study's [axes], named pieces first; SpecError names the key that is wrong."""
    if not isinstance(table, Mapping):
        raise SpecError(f"axes must be a table: {table!r}")
    found: list[Axis] = []
    for name, value in table.items():
        key = name.replace("-", "_")
        head = key.partition(".")[0]
        if head not in KEYS:
            found.append(_named(name, value))
        elif isinstance(value, Mapping):
            found += [_of_key(f"{key}.{one.replace('-', '_')}", v) for one, v in value.items()]
        else:
            found.append(_of_key(key, value))
    return tuple(sorted(found, key=lambda axis: axis.is_key))


def _of_key(key: str, values: Any) -> Axis:
    head = key.partition(".")[0]
    if head in NO_AXIS:
        cure = "say seeds = [...] beside [base]" if head == "seed" else "set it under [base]"
        raise SpecError(f"axes.{key} cannot be varied; {cure}")
    if isinstance(values, Mapping):
        raise SpecError(
            f"axes.{key} must be a list of values, for {head} is a key of a spec; named pieces of "
            "a spec stand under a name of your own, as [axes.method]"
        )
    found = _several(f"axes.{key}", values)
    for value in found:
        flattened({head: {key.partition(".")[2]: value} if "." in key else value}, "axes")
    return Axis(key, found, tuple({key: value} for value in found), True)


def _several(where: str, values: Any) -> tuple[Any, ...]:
    """A list of values, none of them twice."""
    if not isinstance(values, list | tuple) or not values:
        raise SpecError(f"{where} must be a list of values, at least one: {values!r}")
    for number, value in enumerate(values):
        if value in values[:number]:
            raise SpecError(f"{where} has {value!r} twice; keep one")
    return tuple(values)


def _named(name: str, pieces: Any) -> Axis:
    near = did_you_mean(name, KEYS)
    if not isinstance(pieces, Mapping) or not pieces:
        raise SpecError(
            f"axes.{name} must be a key of a spec, or a table of named pieces of a spec: "
            f"{pieces!r:.80}.{near}"
        )
    if not re.fullmatch(r"[\w-]+", name) or name in ("mean", "std", "n", "source", "metric"):
        raise SpecError(f"axes.{name} cannot be the name of an axis; choose another word")
    for value, piece in pieces.items():
        if not isinstance(piece, Mapping):
            raise SpecError(
                f"axes.{name}.{value} must be a piece of a spec, as {{ scorer = 'NAME' }}: "
                f"{piece!r:.80}"
            )
    flat = tuple(flattened(piece, f"axes.{name}.{value}") for value, piece in pieces.items())
    return Axis(name, tuple(pieces), flat, False)


def flattened(table: Mapping[str, Any], where: str) -> Piece:
    """Dotted key -> value of a piece of a spec.

    A component's table with a name stays whole: it replaces what was there.
    """
    refuse_unknown(table, KEYS, where)
    flat: dict[str, Any] = {}
    for key, value in underscored(table, f"{where}.").items():
        if key == "seed" or key == "published":
            raise SpecError(f"{where}.{key} has no place in a piece of a spec; leave it out")
        if key in SECTIONS and not isinstance(value, Mapping):
            raise SpecError(f"{where}.{key} must be a table: {value!r}")
        if isinstance(value, Mapping) and (key in SECTIONS or "name" not in value):
            if key in SECTIONS:
                names = [field.name for field in fields_of(SECTIONS[key])]
                refuse_unknown(value, [*names, *(["sparsity"] if key == "prune" else [])],
                               f"{where}.{key}")  # fmt: skip
            flat |= {f"{key}.{name}": one for name, one in value.items()}
        else:
            flat[key] = value
    return flat


def put(table: dict[str, Any], pieces: Sequence[Piece]) -> None:
    """Set the keys of pieces in the nested table of a spec, in place; later wins.

    All names of components come before all options: an option is one of what is named in the end.
    """
    pairs = [pair for piece in pieces for pair in piece.items()]
    for key, value in sorted(pairs, key=lambda pair: pair[0] not in COMPONENTS):
        if key in COMPONENTS and isinstance(value, Mapping):
            table[key] = dict(value)
            continue
        if key in SAME:
            section = table.get("prune")
            if isinstance(section, dict):
                section.pop(SAME[key].partition(".")[2], None)
        override(table, key, value)


SAME = {"prune.density": "prune.sparsity", "prune.sparsity": "prune.density"}
"""Two words for one thing: who sets one takes the other away."""


def sets(piece: Piece, key: str) -> bool:
    """Whether a piece of a spec decides a dotted key."""
    return key in piece or SAME.get(key) in piece


def says(text: str, value: Any) -> bool:
    """Whether a text, of the command line, means a value: its spelling, or the same number."""
    if text == spelling(value):
        return True
    with contextlib.suppress(ValueError):
        return type(value) in (int, float) and float(text) == value
    return False
