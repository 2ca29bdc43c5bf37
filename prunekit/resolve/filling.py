"""Fill what a spec leaves open, and refuse what cannot act, before any work."""

from __future__ import annotations

import os
from typing import Any

import attrs

from prunekit.contracts import exact, reads
from prunekit.errors import SpecError
from prunekit.resolve.plan import Plan, plan_of
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.rules import idle_keys, refuse_idle, refuse_senseless
from prunekit.resolve.structure import components_from, section_from
from prunekit.resolve.suggestions import filled, suggestions
from prunekit.selection.schedule import kept_of
from prunekit.spec.options import fields_of
from prunekit.spec.sections import COMPONENTS, SECTIONS, Spec


def resolve(spec: Spec, plugins: Plugins) -> Plan:
    """What a run of `spec` will do: every component an object, every open option filled.

    The user's value counts first, then what a component suggests, then the option's fallback.
    Raises SpecError for a combination that does not make sense and for an option that the
    user gave and that cannot act. The plan's own spec resolves to the same plan.
    """
    if not isinstance(spec, Spec):
        raise SpecError(f"spec must be a prunekit.Spec: {type(spec).__name__}; Spec(**values)")
    given = _with_components(spec, plugins)
    suggested = suggestions(given)
    parts = {field.name: getattr(given, field.name) for field in attrs.fields(Spec)}
    whole = attrs.evolve(
        filled(given, "", suggested),
        **{
            name: filled(part, name, suggested)
            for name, part in parts.items()
            if attrs.has(type(part))
        },
    )
    refuse_idle(given, whole)
    refuse_senseless(whole)
    return plan_of(located(whole), located(_without_idle(given, whole)))


def located(part: Any) -> Any:
    """A resolved spec, or a part of one, with its relative paths made absolute ("~" stays)."""
    values = {}
    for field in fields_of(type(part)):
        value = getattr(part, field.name)
        if attrs.has(type(value)):
            values[field.name] = located(value)
        elif field.metadata.get("path") and value and not value.startswith("~"):
            values[field.name] = os.path.abspath(value)
    changed = {name: value for name, value in values.items() if value is not getattr(part, name)}
    return attrs.evolve(part, **changed) if changed else part


def _without_idle(given: Spec, whole: Spec) -> Spec:
    """Leave open what cannot act, so that a resolved spec resolves to itself."""
    idle = list(idle_keys(whole))
    if reads(whole.scorer) == "one batch" and given.prune.data is None:
        idle += ["prune.data", "prune.batch_size"]  # it scores on an input of its own
    left_open: dict[str, dict[str, Any]] = {}
    for key in idle:
        section, name = key.split(".")
        if hasattr(getattr(whole, section), name):  # components differ in their options
            left_open.setdefault(section, {})[name] = getattr(getattr(given, section), name)
    parts = {
        name: attrs.evolve(getattr(whole, name), **before) for name, before in left_open.items()
    }
    return attrs.evolve(whole, **parts)


def _with_components(spec: Spec, plugins: Plugins) -> Spec:
    components = components_from({kind: getattr(spec, kind) for kind in COMPONENTS}, plugins)
    sections = {name: section_from(name, getattr(spec, name)) for name in SECTIONS}
    return attrs.evolve(spec, **components, **sections)


def check_some_kept(density: float, total: int, sampler: object) -> None:
    """SpecError for a density of no weight; how few an inexact sampler keeps, it judges."""
    if exact(sampler) and kept_of(density, total) < 1:
        raise SpecError(
            f"prune.density = {density} keeps none of {total:,} maskable weights; raise it"
        )
