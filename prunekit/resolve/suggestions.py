"""What components suggest for what a spec leaves open; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from prunekit.contracts import suggests
from prunekit.errors import PluginError
from prunekit.spec.options import fields_of
from prunekit.spec.sections import COMPONENTS, SECTIONS, Spec

OPEN = frozenset(
    [field.name for field in attrs.fields(Spec) if "fallback" in field.metadata]
    + [
        f"{section}.{field.name}"
        for section, cls in SECTIONS.items()
        for field in fields_of(cls)
        if "fallback" in field.metadata
    ]
)
"""What a component may suggest: the keys that are left open, and options of the components."""

SUGGESTERS = ("scorer", "sampler", "reinit", "arch", "dataset", "init")
"""Whose suggestions count first."""


def suggested_by(component: Any) -> dict[str, Any]:
    """What one component suggests; PluginError unless it is a mapping from text."""
    stated: Any = suggests(component)
    if not isinstance(stated, Mapping) or not all(isinstance(key, str) for key in stated):
        cls = type(component)
        raise PluginError(
            f"{cls.__name__} ({cls.__module__}).suggests must map dotted keys to values: "
            f"{type(stated).__name__}"
        )
    return dict(stated)


def suggestions(spec: Spec) -> dict[str, Any]:
    """Dotted key -> value that a component of `spec` suggests; PluginError for a key not open."""
    suggested: dict[str, Any] = {}
    for kind in SUGGESTERS:
        component = getattr(spec, kind)
        for key, value in suggested_by(component).items():
            if key not in OPEN and key.partition(".")[0] not in COMPONENTS:
                raise PluginError(
                    f"{kind} {type(component).__name__} suggests {key!r}, which is not left open; "
                    f"on offer: {', '.join(sorted(OPEN))}"
                )
            suggested.setdefault(key, value)
    return suggested


def filled(part: Any, prefix: str, suggested: Mapping[str, Any]) -> Any:
    """`part` with its open options (None) filled by suggestion or fallback."""
    values = {}
    for field in fields_of(type(part)):
        if getattr(part, field.name) is None:
            fallback = field.metadata.get("fallback")
            key = f"{prefix}.{field.name}" if prefix else field.name
            value = suggested.get(key, fallback)
            if value is not None:
                values[field.name] = value
    return attrs.evolve(part, **values) if values else part
