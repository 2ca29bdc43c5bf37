"""What the JSON files of a run folder hold: fields and kinds, each stated once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from prunekit.storage.texts import MOST_BYTES, read_json, read_json_lines

MOST = 2**63


@attrs.frozen
class Kind:
    """What a value may be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]

    def __or__(self, other: Kind) -> Kind:
        return Kind(f"{self.words} or {other.words}", lambda v: self.holds(v) or other.holds(v))


@attrs.frozen
class Table:
    """A JSON object: `fields` by name, those in `required` at least; other keys hold `others`."""

    fields: Mapping[str, Kind | Table | ListOf]
    others: Kind | Table | ListOf
    required: tuple[str, ...] = ()


@attrs.frozen
class ListOf:
    """A JSON list of one kind."""

    item: Kind | Table


def check(value: Any, shape: Kind | Table | ListOf, where: str = "") -> None:
    """ValueError, naming the key, unless the value is of the shape."""
    if isinstance(shape, Kind):
        _demand(shape.holds(value), where, value, shape.words)
        return
    if isinstance(shape, ListOf):
        _demand(isinstance(value, list), where, value, "a list")
        for number, item in enumerate(value):
            check(item, shape.item, f"{where}[{number}]")
        return
    _demand(isinstance(value, Mapping), where, value, "an object")
    for key in shape.required:
        _demand(key in value, where, value, f"an object with {key!r}")
    for key, item in value.items():
        check(item, shape.fields.get(key, shape.others), f"{where}.{key}" if where else key)


def checked(path: Path, shape: Table | ListOf, most: int = MOST_BYTES) -> Any:
    """What a JSON file of `most` bytes holds; StorageError where it is not of the shape."""
    return read_json(path, lambda value: check(value, shape), most)


def checked_lines(path: Path, shape: Table) -> list[Any]:
    """What the lines of a file hold; StorageError where one is not of the shape."""
    return list(read_json_lines(path, lambda value: check(value, shape)))


def _demand(holds: bool, where: str, value: Any, words: str) -> None:
    if not holds:
        raise ValueError(f"{where or 'it'} must be {words}: {value!r:.80}")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < MOST)


def _is_share(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and 0 <= value <= 1


def _is_brief(value: Any) -> bool:
    kinds = {"count": COUNT, "sha256": TEXT, "first": TEXTS}
    return (
        isinstance(value, dict)
        and value.keys() == kinds.keys()
        and all(kinds[key].holds(item) for key, item in value.items())
    )


ANY = Kind("anything", lambda value: True)
NOTHING = Kind("null", lambda value: value is None)
COUNT = Kind("a count", _is_count)
SIZES = Kind("a list of counts", lambda v: isinstance(v, list) and all(map(_is_count, v)))
NUMBER = Kind("a number", _is_number)
NUMBERS = Kind("a list of numbers", lambda v: isinstance(v, list) and all(map(_is_number, v)))
SHARE = Kind("a share in [0, 1]", _is_share)
TEXT = Kind("a text", lambda value: isinstance(value, str))
TEXTS = Kind("a list of texts", lambda v: isinstance(v, list) and all(map(TEXT.holds, v)))
PLAIN = NOTHING | NUMBER | TEXT | Kind("true or false", lambda value: isinstance(value, bool))
SHOWN = PLAIN | NUMBERS | TEXTS

PUBLISHED = Table(
    {"source": TEXT, "metric": TEXT, "mean": NUMBER, "std": NUMBER, "n": COUNT}, others=PLAIN
)
SPEC = Table({"published": PUBLISHED}, others=ANY)
"""spec.toml, for who only shows it."""
SUMMARY = Table(
    {
        **dict.fromkeys(("density", "asked", "redrawn_share"), SHARE | NOTHING),
        **dict.fromkeys(("kept", "maskable", "parameters", "rounds", "epochs", "dead"), COUNT),
        **dict.fromkeys(("redraws", "redrawn", "redrawn_kept", "classes"), COUNT),
        **dict.fromkeys(("test.loss", "test.accuracy", "validation.loss"), NUMBER | NOTHING),
        **dict.fromkeys(
            ("flops.dense", "flops.effective", "seconds", "cold_seconds"), NUMBER | NOTHING
        ),
        **dict.fromkeys(("empty", "redrawn_zeros", "left_out"), TEXTS),
        "redraw_events": COUNT | NOTHING,
        "input_shape": SIZES,
        "mean": NUMBERS,
        "std": NUMBERS,
        "survey": TEXT,
        "masks_sha256": TEXT,
        "published": PUBLISHED,
    },
    others=SHOWN,
)
"""summary.json; those below are what a model and a ticket are made of."""
LOADED = attrs.evolve(SUMMARY, required=("input_shape", "classes"))
TICKETED = attrs.evolve(SUMMARY, required=("input_shape", "classes", "parameters"))
LAYERS = ListOf(
    Table(
        {
            "name": TEXT,
            "shape": SIZES,
            **dict.fromkeys(("total", "kept", "dead"), COUNT),
            "density": SHARE,
            **dict.fromkeys(("score_min", "score_mean", "score_max"), NUMBER | NOTHING),
        },
        others=PLAIN,
        required=("name", "shape", "total", "kept", "density"),
    )
)
METRICS = Table({"kind": TEXT, "phase": TEXT}, others=SHOWN)
"""A line of metrics.jsonl."""
BRIEF = Kind("an object with count, sha256 and first", _is_brief)
COMPONENTS = Table({"bad_files": BRIEF | TEXTS}, others=Table({}, others=PLAIN))
"""components.json: for each kind of component a table of what it was."""
CODE = Kind("an exit code", lambda value: type(value) is int and abs(value) < 2**31)
FAILED = Table(
    {"code": CODE, "reason": TEXT, "attempts": COUNT}, others=PLAIN, required=("code", "reason")
)
"""`<trial>.failed.json`, beside the run folder: why a trial failed."""
CELL = Table({}, others=ANY)
TRIAL = Table(
    {
        "id": TEXT,
        "folder": TEXT,
        "cell": CELL,
        "seed": COUNT,
        "published": PUBLISHED,
        "changed": TEXTS,
    },
    others=ANY,
    required=("id", "folder", "cell", "seed"),
)
SWEEP = Table(
    {
        "format": COUNT,
        "name": TEXT,
        "threads": COUNT | NOTHING,
        "axes": Table({}, others=ANY),
        "trials": ListOf(TRIAL),
        "left_out": ListOf(Table({"cell": CELL, "reason": TEXT}, ANY, ("cell", "reason"))),
        "orphaned": TEXTS,
    },
    others=ANY,
    required=("format", "trials"),
)
"""sweep.json: the trials of a sweep, as its last start planned them."""
SIGNED = Table({"pid": COUNT, "host": TEXT}, others=PLAIN, required=("pid", "host"))
""".owner.json: who holds the lock."""
