"""Flags as a study: comma lists are axes, and what the file says is over or under them."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prunekit.cli import flags
from prunekit.errors import SpecError, say
from prunekit.resolve.plugins import Plugins
from prunekit.spec.options import fields_of, is_union, types_of
from prunekit.spec.sections import COMPONENTS
from prunekit.storage.texts import read_toml
from prunekit.sweeps.axes import KEYS, SAME, sets
from prunekit.sweeps.record import file_of
from prunekit.sweeps.strangers import require_known
from prunekit.sweeps.study import Study, inlined, study_from


def study_of(
    path: str | None,
    keys: Mapping[str, str | None],
    seeds: str | None,
    plugins: Plugins,
    trust: bool = False,
) -> Study:
    """The study of a file, with the flags' values: lists are axes, and replace those of the file.

    What a named piece of the file sets stays so, and is said. trust: code that the study of a
    folder names may run, if the user has named it nowhere.
    """
    file = file_of(path) if path else None
    table = inlined(read_toml(file), file.parent) if file else {"base": {}}
    if path and file != Path(path) and not trust:
        said = [name for kind in COMPONENTS for name in (keys.get(kind) or "").split(",")]
        require_known(study_from(table), path, plugins, said)
    base, axes = dict(table["base"]), axes_table(table.get("axes", {}))
    shown = base.pop("published", {})  # of all figures: no spec has a source without a mean
    plain: dict[str, str | None] = {}
    for key in sorted(keys, key=lambda key: key not in COMPONENTS):  # names before options
        values = listed(key, keys[key], base, axes, plugins)
        if values is None and is_axis(axes, key):
            values = [flags.flag_value(key, keys[key], option_type(key, base, axes, plugins))]
        if values is None:
            plain[key] = keys[key]
        else:
            vary(axes, key, values)
    base = flags.with_flags(base, plain, plugins)
    base |= {"published": shown | base.get("published", {})} if shown else {}
    table = {**table, "base": base, "axes": axes}
    if seeds is not None:
        table["seeds"] = seeds_of(seeds)
    name = Path(path).absolute().name if path and file != Path(path) else file and file.stem
    study = study_from(table, name or "sweep")
    study = attrs.evolve(study, file=str(file.absolute()) if file else "")
    tell_of_rows(study, keys)
    return study


def seeds_of(text: str) -> int | list[int]:
    """What `--seeds` asks for: a number of seeds, or a list of them."""
    if "," in text:
        return [flags.flag_value("seeds", part, int) for part in text.split(",") if part.strip()]
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise SpecError(f"--seeds must be an int >= 1: {text!r}")
    return count


def axes_table(axes: Any) -> dict[str, Any]:
    """The [axes] of a file, whose keys of a spec are spelled with underscores."""
    if not isinstance(axes, Mapping):
        raise SpecError(f"axes must be a table: {axes!r}")
    table: dict[str, Any] = {}
    for name, value in axes.items():
        key = name.replace("-", "_")
        known = key in KEYS
        if known and isinstance(value, Mapping):
            value = {inner.replace("-", "_"): one for inner, one in value.items()}
        table[key if known else name] = value
    return table


def is_axis(axes: Mapping[str, Any], key: str) -> bool:
    """Whether a dotted key is an axis already, by one of its words."""
    return any(_home(axes, word) for word in (key, SAME.get(key, key)))


def _home(axes: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Where the values of a dotted key stand: under it, or in a table; () where it is no axis."""
    section, _, name = key.rpartition(".")
    if key in axes:
        return (key,)
    inner = axes.get(section)
    return (section, name) if isinstance(inner, Mapping) and name in inner else ()


def vary(axes: dict[str, Any], key: str, values: list[Any]) -> None:
    """Let a dotted key have these values, in place of those that it has."""
    match _home(axes, SAME.get(key, key)) if key in SAME else ():
        case (section, name):
            axes[section] = {k: one for k, one in axes[section].items() if k != name}
        case (name,):
            del axes[name]
    match _home(axes, key):
        case (section, name):
            axes[section] = {**axes[section], name: values}
        case _:
            axes[key] = values


def listed(
    key: str, text: str | None, base: dict[str, Any], axes: Mapping[str, Any], plugins: Plugins
) -> list[Any] | None:
    """The values of an axis; None where the text is one value, if only a list."""
    if text is None or "," not in text:
        return None
    annotation = option_type(key, base, axes, plugins)
    if takes_list(annotation):
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return [flags.flag_value(key, part, annotation) for part in parts]


def takes_list(annotation: Any) -> bool:
    parts = typing.get_args(annotation) if is_union(annotation) else (annotation,)
    return any(typing.get_origin(part) is tuple for part in parts)


def option_type(key: str, base: dict[str, Any], axes: Mapping[str, Any], plugins: Plugins) -> Any:
    """The annotation of a key; of a component's, in the first on its axis that has the option."""
    if key in flags.static_keys():
        return flags.static_option(key)[0]
    kind, _, name = key.partition(".")
    tables = [{**base, kind: value} for value in axes.get(kind, [])] or [base]
    classes = [flags.chosen_class(table, kind, plugins) for table in tables]
    for cls in classes:
        if name in types_of(cls):
            return types_of(cls)[name]
    owner = f"{kind} {plugins.name_of(kind, classes[0])}"
    known = [field.name for field in fields_of(classes[0])]
    flags.refuse_unknown({name: None}, known, f"--{kind}", owner)
    return str


def tell_of_rows(study: Study, keys: Mapping[str, Any]) -> None:
    """A line for each named piece that a flag does not reach, for it sets the same key."""
    for key in keys:
        for axis in (axis for axis in study.axes if not axis.is_key):
            deaf = [str(v) for v, piece in zip(axis.values, axis.pieces) if sets(piece, key)]
            if deaf:
                flag = f"--{key.replace('_', '-')}"
                say(f"{flag} does not act on {axis.name}={','.join(deaf)}, which sets {key}")


def only_of(texts: Sequence[str], study: Study) -> dict[str, list[str]]:
    """Axis -> labels that `--only` asks for; a short name of a flag stands for its key."""
    names = [axis.name for axis in study.axes]
    found: dict[str, list[str]] = {}
    for text in texts:
        name, has_values, values = text.partition("=")
        if not has_values or not values:
            raise SpecError(f"--only must be AXIS=VALUE,VALUE: {text!r}")
        key = name if name in names else flags.SHOWN.get(name, name.replace("-", "_"))
        wanted = [value.strip() for value in values.split(",") if value.strip()]
        found[key] = [value for value in found.get(key, wanted) if value in wanted]
        if not found[key]:
            raise SpecError(f"--only {text!r} leaves no value of {key} with the one before")
    return found
