"""By what a trial is known: its resolved plan, however that was said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from prunekit.reports.varied import NO_MATTER
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import unstructure
from prunekit.spec.sections import Spec
from prunekit.storage.contents import NAMED, sha256_of

NOT_IN_IT = ("published", "observers", "device", *NO_MATTER)
"""Keys of a spec that change no result."""
LETTERS = 10
"""Hexadecimal digits of an identity."""


@attrs.frozen
class Contents:
    """What lies in files that specs name, each read once."""

    known: dict[tuple[str, str], str] = attrs.field(factory=dict)

    def of(self, key: str, path: str) -> str:
        """sha256 over the files that a key of a spec names."""
        if (key, path) not in self.known:
            self.known[key, path] = sha256_of(key, path)
        return self.known[key, path]


def facts(
    spec: Spec,
    plugins: Plugins,
    contents: Contents,
    recorded: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """What a resolved, located spec is known by, as a nested table; the seed is one of it.

    recorded: sha256 of files that it names, by key, where others than now are meant. SpecError for
    files that cannot be read.
    """
    table = unstructure(spec, plugins)
    for key in NOT_IN_IT:
        _take(table, key)
    if isinstance(spec.arch, FileArchitecture):
        function = spec.arch.source.rpartition(":")[2]
        table["arch"] = {"sha256": recorded.get("arch") or spec.arch.sha256(), "function": function}
    for key in NAMED:
        if (path := _take(table, key)) is not None:
            table[key] = recorded.get(key) or contents.of(key, path)
    return dict(_plain(table))


def _take(table: dict[str, Any], key: str) -> Any:
    """The value of a dotted key, removed from the table; None where there is none."""
    section, _, name = key.rpartition(".")
    inner = table.get(section, {}) if section else table
    return inner.pop(name, None)


def identity(known_by: Mapping[str, Any], seed: int) -> str:
    """The id of what is known by these facts, with this seed."""
    return _hash({**known_by, "seed": seed})


def _hash(value: Any) -> str:
    """sha256 of canonical JSON: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LETTERS]


def _plain(value: Any) -> Any:
    """The same without a difference that is none: 1.0 is 1, a tuple a list."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
