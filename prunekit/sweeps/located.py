"""A study that reads the same wherever the user is: the paths in it made absolute."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from prunekit.resolve.structure import is_file_name
from prunekit.spec.options import fields_of
from prunekit.spec.sections import COMPONENTS, Spec
from prunekit.storage.contents import NAMED
from prunekit.sweeps.axes import KEYS
from prunekit.sweeps.study import Study


def located(study: Study, specs: Iterable[Spec]) -> dict[str, Any]:
    """The table of a study, whose cells have these specs; "~" stays."""
    table, keys = dict(study.table), {*NAMED, *_options(specs)}
    table["base"] = _located(study.table["base"], "", keys)
    if "axes" in table:
        table["axes"] = {name: _axis(name, one, keys) for name, one in table["axes"].items()}
    for name in ("skip", "published"):
        if name in table:
            table[name] = _located(table[name], "", keys)
    return table


def _options(specs: Iterable[Spec]) -> set[str]:
    """The dotted keys of components that are paths."""
    classes = {(kind, type(getattr(spec, kind))) for spec in specs for kind in COMPONENTS}
    return {
        f"{kind}.{field.name}"
        for kind, cls in classes
        for field in fields_of(cls)
        if field.metadata.get("path")
    }


def _axis(name: str, value: Any, keys: set[str]) -> Any:
    if name.replace("-", "_").partition(".")[0] in KEYS:
        return _located(value, name, keys)
    return {label: _located(piece, "", keys) for label, piece in value.items()}


def _located(value: Any, key: str, keys: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _located(v, f"{key}.{name}".lstrip("."), keys) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_located(one, key, keys) for one in value]
    if not isinstance(value, str) or not value or value.startswith("~"):
        return value
    kind, _, option = key.partition(".")
    is_file = kind in COMPONENTS and option in ("", "name") and is_file_name(kind, value)
    return os.path.abspath(value) if is_file or key.replace("-", "_") in keys else value
