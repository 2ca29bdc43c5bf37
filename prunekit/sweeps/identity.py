"""By what a trial is known: its resolved plan, however that was said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import SpecError
from prunekit.reports.varied import NO_MATTER
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import unstructure
from prunekit.spec.sections import Spec
from prunekit.storage.files import open_file, reason
from prunekit.storage.runfolder import RunFolder

NOT_IN_IT = ("published", "observers", "device", *NO_MATTER)
"""Keys of a spec that change no result."""
LETTERS = 10
"""Hexadecimal digits of an identity."""
BY_CONTENT = ("weights", "prune.masks")
"""Keys that name files: what lies in them counts, and not where they lie."""


@attrs.frozen
class Contents:
    """What lies in files that specs name, each read once."""

    known: dict[str, str] = attrs.field(factory=dict)

    def of(self, path: str) -> str:
        """sha256 of a file, of the masks of a run folder, or of a folder of weights."""
        if path not in self.known:
            place = Path(path).expanduser()
            files = [place] if not place.is_dir() else _weights_in(place)
            sums = [_sha256(file) for file in files]
            self.known[path] = sums[0] if len(sums) == 1 else _hash(sums)
        return self.known[path]


def _weights_in(folder: Path) -> list[Path]:
    """The files of a run's masks, or of weights that others saved; SpecError for neither."""
    run = RunFolder(folder)
    files = [run.masks] if run.holds_run() else sorted(folder.glob("*.safetensors*"))
    if not files:
        raise SpecError(f"{folder} holds neither masks nor weights; give the folder of a run")
    return files


def _sha256(file: Path) -> str:
    try:
        with open_file(file) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise SpecError(f"cannot read {file}: {reason(error)}") from None


def facts(
    spec: Spec, plugins: Plugins, contents: Contents, arch: str | None = None
) -> dict[str, Any]:
    """What a resolved, located spec is known by, as a nested table; the seed is one of it.

    arch: sha256 of the file of its architecture, where another than now is meant. SpecError for
    files that cannot be read.
    """
    table = unstructure(spec, plugins)
    for key in NOT_IN_IT:
        _take(table, key)
    if isinstance(spec.arch, FileArchitecture):
        function = spec.arch.source.rpartition(":")[2]
        table["arch"] = {"sha256": arch or spec.arch.sha256(), "function": function}
    for key in BY_CONTENT:
        if (path := _take(table, key)) is not None:
            table[key] = contents.of(path)
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
