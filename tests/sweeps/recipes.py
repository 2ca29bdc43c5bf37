"""What the tests of the files in examples/ share: each file, read and expanded."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunekit.resolve.plugins import Plugins, builtin_sources
from prunekit.sweeps.study import read_study
from prunekit.sweeps.trials import Expansion, Trial, expanded

ROOT = Path(__file__).parents[2]
FOLDERS = ("iterand", "sketching", "probabilistic")
FILES = {
    f"{folder}/{path.stem}": path
    for folder in FOLDERS
    for path in sorted((ROOT / "examples" / folder).glob("*.toml"))
    if "axes." in path.read_text()  # else it is a study of prunekit.theory
}
PLUGINS = Plugins(builtin_sources())


@functools.cache
def expansion(name: str) -> Expansion:
    """The trials of the file `name`, as iterand/table3."""
    return expanded(read_study(FILES[name]), PLUGINS)


def cells(name: str) -> list[Trial]:
    """A trial of each cell of a file, in the order of the file."""
    first: dict[str, Trial] = {}
    for trial in expansion(name).trials:
        first.setdefault(trial.cell_id, trial)
    return list(first.values())


def cell(name: str, **wanted: Any) -> Trial:
    """The one cell of a file with these values; `density` stands for prune.density."""
    keys = {"density": "prune.density", "width": "arch.width"}
    values = {keys.get(key, key): value for key, value in wanted.items()}
    (found,) = (trial for trial in cells(name) if matches(trial.cell, values))
    return found


def matches(given: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(given.get(key) == value for key, value in values.items())
