"""Plugins, components and options as plain text, for the terminal."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import attrs

from prunekit.cli.flags import placeholder
from prunekit.errors import PrunekitError, SpecError, printable
from prunekit.reports.columns import columns
from prunekit.resolve.kinds import KINDS, OBSERVERS
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.suggestions import SUGGESTERS, suggested_by
from prunekit.spec.options import fields_of, types_of
from prunekit.spec.sections import COMPONENTS, SECTIONS


def plugin_list(plugins: Plugins) -> str:
    """Name, package and version of each plugin, clashes below; imports none."""
    clashes = plugins.clashes()
    rows = [("name", "package", "version")]
    for name in plugins.names():
        if not any(f" named {name!r}:" in line for line in clashes):
            source = plugins.source(name)
            rows.append((name, source.package, source.version))
    return "\n".join([columns(rows), *(f"problem: {line}" for line in clashes)])


def component_list(plugins: Plugins) -> str:
    """Kind, name and summary of each component, problems below; imports every plugin."""
    rows = [("kind", "name", "summary")]
    for kind in KINDS:
        offered = sorted(plugins.components(kind).items())
        rows += [(kind, name, summary(cls)) for name, cls in offered]
    rows += [("observer", name, summary(plugins.load(name))) for name in observers(plugins)]
    return "\n".join([columns(rows), *(f"problem: {line}" for line in plugins.problems())])


def observers(plugins: Plugins) -> list[str]:
    """The plugins that offer observers; imports every plugin and leaves out the broken ones."""
    observing = []
    for name in plugins.names():
        try:
            if plugins.hook(name, OBSERVERS):
                observing.append(name)
        except PrunekitError:
            continue
    return observing


def summary(thing: Any) -> str:
    """The first line of a docstring."""
    return printable((inspect.getdoc(thing) or "").partition("\n")[0])


def plugin_page(plugins: Plugins, name: str) -> str:
    """All about one plugin: paper, file, package, components and their options; imports it."""
    module, source = plugins.load(name), plugins.source(name)
    parts = [
        "\n".join(map(printable, (inspect.getdoc(module) or f"{name}: none").splitlines())),
        columns(
            [
                ("plugin", name),
                ("file", getattr(module, "__file__", None) or source.module),
                ("package", f"{source.package} {source.version}"),
            ]
        ),
    ]
    for kind in KINDS:
        for key, cls in sorted(plugins.offers(name, kind).items()):
            parts.append(component_page(kind, key, cls))
    if plugins.hook(name, OBSERVERS):
        parts.append(f"observer {name}: --observers {name}")
    return "\n\n".join(parts)


def component_page(kind: str, name: str, cls: type) -> str:
    """One component: its summary, its options, and what it suggests."""
    lines = [f"{kind} {name}: {summary(cls)}"]
    options = option_rows(cls, prefix_of(kind))
    lines.append(indented(columns(options)) if options else "  no options")
    if suggests := suggestions_of(cls):
        filled = ", ".join(f"{key} = {value!r}" for key, value in suggests.items())
        lines.append(f"  suggests {filled}")
    return "\n".join(lines)


def suggestions_of(cls: type) -> Mapping[str, Any]:
    """What a component suggests whose options have their defaults: they may decide it."""
    try:
        return suggested_by(cls())
    except SpecError:  # it cannot be made without options
        return {}


def prefix_of(kind: str) -> str:
    """What stands before the options of a component in flags: its kind, if specs have it."""
    return kind if kind in COMPONENTS else ""


def option_rows(
    cls: type, prefix: str, suggested: Mapping[str, Any] | None = None
) -> list[tuple[str, str, str]]:
    """(flag, default, help) of each option of a component or section; prefix "" = none.

    `suggested`: dotted key -> value that a chosen component puts in place of the default.
    """
    annotations = types_of(cls)
    rows = []
    for field in fields_of(cls):
        key = f"{prefix}.{field.name}" if prefix else field.name
        flag = f"--{key.replace('_', '-')} {placeholder(annotations[field.name])}"
        default = (suggested or {}).get(key, shown_default(field))
        origin = ", suggested" if key in (suggested or {}) else ""
        rows.append((flag, f"[{plain(default)}{origin}]", field.metadata.get("help", "")))
    return rows


def shown_default(field: attrs.Attribute[Any]) -> Any:
    """What the option is when nobody gives it."""
    return field.metadata.get("fallback") if field.default is None else field.default


def plain(value: Any) -> str:
    """A value as one writes it in a flag; "-" where there is none."""
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ",".join(map(plain, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def further_options(
    classes: Mapping[str, tuple[str, type]], deciding: Mapping[str, type] | None = None
) -> str:
    """Options of the chosen components (kind -> name, class) and of every section.

    deciding: by kind, the classes whose suggestions are the defaults; those chosen unless given.
    """
    deciding = deciding or {kind: cls for kind, (_, cls) in classes.items()}
    suggested: dict[str, Any] = {}
    for kind in (kind for kind in SUGGESTERS if kind in deciding):
        for key, value in suggestions_of(deciding[kind]).items():
            suggested.setdefault(key, value)
    parts = []
    for kind in (kind for kind in dict.fromkeys((*COMPONENTS, *KINDS)) if kind in classes):
        name, cls = classes[kind]
        rows = option_rows(cls, prefix_of(kind))
        parts.append(f"{kind} {name}:\n" + indented(columns(rows) if rows else "no options"))
    for section, cls in SECTIONS.items():
        rows = option_rows(cls, section, suggested)
        parts.append(f"{section}:\n" + indented(columns(rows)))
    return "\n\n".join(parts)
