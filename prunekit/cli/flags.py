"""`prunekit run`: flags in, one nested mapping out. Every key of the spec has a flag.

Component names are read first, since they decide which further flags there are; what can be
refused without importing a plugin is refused before one is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from prunekit.errors import SpecError
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import (
    component_class,
    default_name,
    density_of,
    refuse_unknown,
    section_from,
    underscored,
)
from prunekit.spec.options import fields_of, is_union, parse, spell, types_of
from prunekit.spec.sections import COMPONENTS, SECTIONS, Spec, override
from prunekit.storage.texts import read_toml

SHOWN: Mapping[str, str] = {
    "arch": "arch",
    "dataset": "dataset",
    "scorer": "scorer",
    "sampler": "sampler",
    "reinit": "reinit",
    "init": "init",
    "density": "prune.density",
    "sparsity": "prune.sparsity",
    "rounds": "rounds.count",
    "epochs": "train.epochs",
    "masks": "prune.masks",
    "weights": "weights",
    "seed": "seed",
    "device": "device",
}
"""Flag that `prunekit run --help` shows -> dotted key."""

METAVARS = {**dict.fromkeys(COMPONENTS, "NAME"), "prune.masks": "RUN|FILE", "weights": "PATH"}
BOOLS = (bool, bool | None)
BARE = ("--help", "-h", "--dry-run", "--continue", "--retry-failed", "--trust")
REPEATED = ("--only",)
OWN = ("out", "seeds", "dry-run", "continue")
"""Flags of `prunekit run` that are no key of a spec."""
MORE = (
    "Every key of the spec has a flag of its dotted name: --prune.min-per-layer 1, "
    "--scorer.input chi, --train.compile. "
    "`prunekit run --scorer NAME --sampler NAME --help` lists them all for these components; "
    "`prunekit plugins --components` lists the names."
)


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `prunekit run` that its help shows."""
    add_spec_flags(parser, "spec", "SPEC.toml", "a spec; flags override its keys")
    parser.add_argument(
        "--out", metavar="DIR", help="the run folder; runs/<time>-<name> by default"
    )
    parser.add_argument(
        "--continue", action="store_true", dest="go_on",
        help="go on with the run in --out, or leave it if it is finished; without one, begin it",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", metavar="N", help="run N seeds, from --seed on, or go on with them"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("-h", "--help", action="store_true", help="show this help")


def add_spec_flags(parser: argparse.ArgumentParser, name: str, metavar: str, told: str) -> None:
    """A file, and the flags of a spec's keys that a help shows."""
    parser.add_argument(name, nargs="?", metavar=metavar, help=told)
    for flag, key in SHOWN.items():
        annotation, help_text = static_option(key)
        shown = METAVARS.get(key) or placeholder(annotation)
        parser.add_argument(f"--{flag}", metavar=shown, help=help_text.replace("%", "%%"))


def placeholder(annotation: Any) -> str:
    """What stands for a value in a help text: INT, FLOAT, TEXT, a|b, LIST."""
    parts = typing.get_args(annotation) if is_union(annotation) else (annotation,)
    part = next(one for one in parts if one is not type(None))
    if typing.get_origin(part) is typing.Literal:
        return "|".join(map(str, typing.get_args(part)))
    if typing.get_origin(part) is tuple:
        return "A,B,..."
    return {int: "INT", float: "FLOAT", bool: "[true|false]"}.get(part, "TEXT")


def static_option(key: str) -> tuple[Any, str]:
    """Annotation and help of a key that no component brings."""
    if key == "prune.sparsity":
        return float, "1 - density"
    section, _, name = key.rpartition(".")
    cls = SECTIONS[section] if section else Spec
    return types_of(cls)[name], getattr(attrs.fields(cls), name).metadata["help"]


def static_keys() -> list[str]:
    """Every dotted key that no component brings, with underscores."""
    own = [field.name for field in fields_of(Spec) if field.name not in SECTIONS]
    within = [f"{name}.{field.name}" for name, cls in SECTIONS.items() for field in fields_of(cls)]
    return [*own, *within, "prune.sparsity"]


def joined(argv: Sequence[str]) -> list[str]:
    """argv with paths first and each `--flag value` as one `--flag=value`.

    No flag twice, but for those that may be repeated.
    """
    paths: list[str] = []
    repeated: list[str] = []
    flags: dict[str, str] = {}
    queue = list(argv)
    while queue:
        token = queue.pop(0)
        if not _is_flag(token):
            paths.append(token)
            continue
        flag, has_value, value = token.partition("=")
        flag = flag.replace("_", "-")
        if flag in flags and flag not in BARE:
            raise SpecError(f"{flag} is given twice; keep one")
        if not has_value and queue and _takes(flag, queue[0]):
            has_value, value = "=", queue.pop(0)
        if flag in REPEATED:
            repeated.append(f"{flag}{has_value}{value}")
        else:
            flags[flag] = f"{flag}{has_value}{value}"
    return [*paths, *flags.values(), *repeated]


def _is_flag(token: str) -> bool:
    return token == "-h" or (token.startswith("--") and len(token) > 2)


def _takes(flag: str, following: str) -> bool:
    """Whether the token after `flag` is its value; that of a bool is only true or false."""
    if flag in BARE or _is_flag(following):
        return False
    key = flag[2:].replace("-", "_")
    if key in static_keys() and static_option(key)[0] in BOOLS:
        return following.lower() in ("true", "false", "yes", "no", "1", "0")
    return True


def given_keys(
    shown: argparse.Namespace, others: Iterable[str], own: Sequence[str] = OWN
) -> dict[str, str | None]:
    """Dotted key -> text, or None for a bare flag; SpecError for an unknown flag.

    own: what else the command takes.
    """
    texts = ((name, getattr(shown, name)) for name in SHOWN)
    keys: dict[str, str | None] = {SHOWN[name]: text for name, text in texts if text is not None}
    for token in others:
        flag, has_value, text = token.partition("=")
        key = flag[2:].replace("-", "_")
        if not flag.startswith("--"):
            raise SpecError(f"unexpected argument {token!r}; one file, then flags")
        if not _known(key):
            raise unknown_flag(flag, [*SHOWN, *static_keys(), *own])
        if key in keys:
            raise SpecError(f"{flag} is given twice, once by its short name; keep one")
        keys[key] = text if has_value else None
    if "prune.density" in keys and "prune.sparsity" in keys:
        raise SpecError("sparsity is 1 - density; give one of them")
    return keys


def _known(key: str) -> bool:
    kind, dot, name = key.partition(".")
    return key in static_keys() or (kind in COMPONENTS and bool(dot and name))


def unknown_flag(flag: str, known: Iterable[str]) -> SpecError:
    flags = [f"--{key.replace('_', '-')}" for key in known]
    close = [one for one in flags if one.rpartition(".")[2] == flag[2:]]  # --train.lr for --lr
    close = close or difflib.get_close_matches(flag, flags, n=1)
    hint = f" Did you mean {close[0]}?" if close else " --help lists the flags."
    return SpecError(f"no flag is named {flag}.{hint}")


def spec_table(
    path: str | None, keys: Mapping[str, str | None], plugins: Plugins
) -> dict[str, Any]:
    """The nested mapping of the TOML file at `path` with the flags' values over it."""
    return with_flags(underscored(read_toml(path)) if path else {}, keys, plugins)


def with_flags(
    table: dict[str, Any], keys: Mapping[str, str | None], plugins: Plugins
) -> dict[str, Any]:
    """The nested mapping of a spec, changed in place by the flags' values."""
    for key in sorted(keys, key=lambda key: key not in COMPONENTS):  # names before options
        if key in static_keys():
            _set_static(table, key, keys[key])
    refuse_early(table, plugins)
    for key, text in keys.items():
        if key not in static_keys():
            kind, _, name = key.partition(".")
            cls = chosen_class(table, kind, plugins)
            owner = f"{kind} {plugins.name_of(kind, cls)}"
            override(table, key, _component_value(cls, kind, name, text, owner))
    return table


def _set_static(table: dict[str, Any], key: str, text: str | None) -> None:
    value = flag_value(key, text, static_option(key)[0])
    if key in ("prune.density", "prune.sparsity") and isinstance(table.get("prune"), dict):
        table["prune"].pop("sparsity", None)
    if key == "prune.sparsity":
        key, value = "prune.density", density_of(value)
    override(table, key, value)


def _component_value(cls: type, kind: str, name: str, text: str | None, owner: str) -> Any:
    options = [field.name for field in fields_of(cls)]
    refuse_unknown({name: text}, options, f"--{kind}", owner)
    return flag_value(f"{kind}.{name}", text, types_of(cls)[name])


def flag_value(key: str, text: str | None, annotation: Any) -> Any:
    """`text` as a value of `annotation`; a bare flag is True. SpecError names the flag."""
    if annotation is Any:
        annotation = str
    if text is None and annotation in BOOLS:
        return True
    if text is not None:
        with contextlib.suppress(SpecError):
            return parse(text, annotation)
    flag, shown = f"--{key.replace('_', '-')}", "nothing" if text is None else repr(text)
    lists = "; `prunekit sweep` takes lists" if "," in (text or "") else ""
    raise SpecError(f"{flag} must be {spell(annotation)}: {shown}{lists}")


def chosen_class(table: Mapping[str, Any], kind: str, plugins: Plugins) -> type:
    """The class of the component that `table` names, or of the default one; imports its plugin."""
    name = named(table, kind)
    if not isinstance(name, str):
        name = default_name(kind, table.get("scorer"), plugins)
    return component_class(kind, name, plugins)


def named(table: Mapping[str, Any], kind: str) -> Any:
    """The name of the component in `table`, which may be a name or a table with it."""
    value = table.get(kind)
    return value.get("name") if isinstance(value, Mapping) else value


def refuse_early(table: Mapping[str, Any], plugins: Plugins) -> None:
    """Raise for what is wrong and can be told without importing a plugin."""
    refuse_unknown(table, [field.name for field in fields_of(Spec)], where="")
    for section in SECTIONS:
        if section in table:
            section_from(section, table[section])
    scalars = {key: table[key] for key in ("seed", "device", "weights", "loss") if key in table}
    Spec(**scalars)
    known = plugins.names()
    for kind in COMPONENTS:
        name = named(table, kind)
        if isinstance(name, str) and ":" not in name and name.partition("/")[0] not in known:
            plugins.component(kind, name)  # raises, with the nearest name
