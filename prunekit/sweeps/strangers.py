"""A study that comes with its folder: code that it names runs when the user says so."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from prunekit.resolve.plugins import Plugins
from prunekit.runs.trust import named_code, require_remembered
from prunekit.spec.sections import COMPONENTS
from prunekit.sweeps.study import Study


def require_known(
    study: Study, folder: str | Path, plugins: Plugins, said: Collection[str] = ()
) -> None:
    """PluginError for code outside installed plugins that the user has not named; imports nothing.

    said: names of components that the user gives now.
    """
    own = {os.path.abspath(name) for name in said}
    names = {pair: None for pair in _names(study) if os.path.abspath(pair[1]) not in own}
    place = Path(folder)
    tables = ({kind: name} for kind, name in names)
    codes = [code for table in tables for code in named_code(table, plugins, place)]
    require_remembered(codes, place)


def _names(study: Study) -> Iterator[tuple[str, str]]:
    """Kind and name of each component in the base and in the pieces of the axes."""
    pieces = [piece for axis in study.axes for piece in axis.pieces]
    for key, value in itertools.chain(study.base.items(), *(piece.items() for piece in pieces)):
        kind, _, option = key.partition(".")
        name = value.get("name") if isinstance(value, Mapping) else value
        if kind in COMPONENTS and option in ("", "name") and isinstance(name, str):
            yield kind, name
