"""In what specs differ, key by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prunekit.spec.sections import COMPONENTS

NEVER = ("seed", "published", "observers")
"""Top keys of a spec that are no difference between methods."""
NO_MATTER = ("data.workers", "train.keep_checkpoints", "train.checkpoint_every")
"""Keys of a spec that change how a run is made, and not what comes out."""


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value; a component's name stands under its kind alone."""
    keys: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            keys |= flat(value, f"{prefix}{key}.")
        else:
            named = key == "name" and prefix.rstrip(".") in COMPONENTS
            keys[prefix.rstrip(".") if named else prefix + key] = value
    return keys


def varied(specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each spec the keys in which they differ, components first; None where it has no such key.

    Left out are what does not make another run (seed, published, ...), and the options of a
    component that its name tells already: those of which each named component has one value.
    """
    flats = [flat({k: v for k, v in spec.items() if k not in NEVER}) for spec in specs]
    keys = list(dict.fromkeys(key for one in flats for key in one if key not in NO_MATTER))
    keys.sort(key=lambda key: key not in COMPONENTS)
    differing = [key for key in keys if len({repr(one.get(key)) for one in flats}) > 1]
    told = {
        key
        for key in differing
        if (kind := key.partition(".")[0]) in COMPONENTS and kind != key
        if _tells(flats, kind, key)
    }
    return [{key: one.get(key) for key in differing if key not in told} for one in flats]


def _tells(flats: Sequence[Mapping[str, Any]], one: str, other: str) -> bool:
    """Whether the value of `one` determines that of `other`."""
    seen = {(repr(flat.get(one)), repr(flat.get(other))) for flat in flats}
    return len(seen) == len({first for first, _ in seen})
