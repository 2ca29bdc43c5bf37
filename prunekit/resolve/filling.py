"""Fill what a spec leaves open, and refuse what cannot act, before any work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from prunekit.contracts import (
    acts,
    allocates,
    as_built,
    learns,
    pretrained,
    reads,
    scales,
    suggests,
)
from prunekit.errors import PluginError, SpecError
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import component_from, default_name, section_from
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


def resolve(spec: Spec, plugins: Plugins) -> Spec:
    """The spec with every component an object and every open option filled.

    The user's value counts first, then what a component suggests, then the option's fallback.
    Raises SpecError for a combination that does not make sense and for an option that the
    user gave and that cannot act. Resolving twice changes nothing.
    """
    if not isinstance(spec, Spec):
        raise SpecError(f"spec must be a prunekit.Spec: {type(spec).__name__}; Spec(**values)")
    given = _with_components(spec, plugins)
    suggested = suggestions(given)
    whole = attrs.evolve(
        given,
        **{
            field.name: filled(getattr(given, field.name), field.name, suggested)
            for field in attrs.fields(Spec)
            if attrs.has(type(getattr(given, field.name)))
        },
    )
    if whole.norm is None:
        whole = attrs.evolve(whole, norm=suggested.get("norm", "affine"))
    refuse_idle(given, whole)
    refuse_senseless(whole)
    return _without_idle(given, whole)


def located(part: Any) -> Any:
    """A resolved spec, or a part of one, with its relative paths made absolute ("~" stays)."""
    values = {}
    for field in fields_of(type(part)):
        value = getattr(part, field.name)
        if attrs.has(type(value)):
            values[field.name] = located(value)
        elif field.metadata.get("path") and value and not value.startswith("~"):
            values[field.name] = os.path.abspath(value)
    moved = {name: value for name, value in values.items() if value is not getattr(part, name)}
    return attrs.evolve(part, **moved) if moved else part


def suggestions(spec: Spec) -> dict[str, Any]:
    """Dotted key -> value that a component of `spec` suggests; PluginError for a key not open."""
    suggested: dict[str, Any] = {}
    for kind in SUGGESTERS:
        component = getattr(spec, kind)
        for key, value in suggests(component).items():
            if key not in OPEN and key.partition(".")[0] not in COMPONENTS:
                raise PluginError(
                    f"{kind} {type(component).__name__} suggests {key!r}, which is not left open; "
                    f"on offer: {', '.join(sorted(OPEN))}"
                )
            suggested.setdefault(key, value)
    return suggested


def _without_idle(given: Spec, whole: Spec) -> Spec:
    """Leave open what cannot act, so that a resolved spec resolves to itself."""
    idle = [key for key, is_idle, _ in IDLE if has(whole, key) and is_idle(whole)]
    if reads(whole.scorer) == "one batch" and given.prune.data is None:
        idle += ["prune.data", "prune.batch_size"]  # it scores on an input of its own
    for key in idle:
        section, name = key.split(".")
        before = getattr(getattr(given, section), name)
        part = attrs.evolve(getattr(whole, section), **{name: before})
        whole = attrs.evolve(whole, **{section: part})
    return whole


def _with_components(spec: Spec, plugins: Plugins) -> Spec:
    given = {kind: getattr(spec, kind) for kind in COMPONENTS}
    for kind in ("scorer", "sampler"):
        if given[kind] is None:
            given[kind] = default_name(kind, spec.scorer, plugins)
    named = attrs.evolve(spec, **given)
    sections = {name: section_from(name, getattr(spec, name)) for name in SECTIONS}
    components = {kind: component_from(kind, getattr(named, kind), plugins) for kind in COMPONENTS}
    return attrs.evolve(named, **components, **sections)


def filled(part: Any, prefix: str, suggested: Mapping[str, Any]) -> Any:
    """`part` with its open options (None) filled by suggestion or fallback."""
    values = {}
    for field in fields_of(type(part)):
        if getattr(part, field.name) is None:
            fallback = field.metadata.get("fallback")
            value = suggested.get(f"{prefix}.{field.name}", fallback)
            if value is not None:
                values[field.name] = value
    return attrs.evolve(part, **values) if values else part


def check_some_kept(density: float, total: int) -> None:
    """SpecError for a density of no weight."""
    if round(density * total) < 1:
        raise SpecError(
            f"prune.density = {density} keeps none of {total:,} maskable weights; raise it"
        )


def has(spec: Spec, key: str) -> bool:
    """Whether the dotted key is one of this spec: components differ in their options."""
    section, name = key.split(".")
    return hasattr(getattr(spec, section), name)


def comes_trained(spec: Spec) -> bool:
    """Whether the weights come trained, from the architecture or from a file."""
    return pretrained(spec.arch) or spec.weights is not None


PERIOD = (
    "inside training a fixed mask makes redrawing pointless; with measured scores it acts between "
    "rounds, with learned ones inside training"
)

SCALED = (
    "learned scores keep the weights as drawn and this sampler scales the kept ones; choose "
    "another sampler, or a form of it without a scale"
)

NO_ROUNDS = "prune.masks brings the masks, nothing is scored"
NO_ALLOCATION = "this sampler takes no allocation"
NO_TRAINING = "no round trains; set rounds.epochs"
AT_EVERY_STEP = "learned scores are sampled at every step"

# Options that the user gave and that cannot act: dotted keys, when they are idle, why.
_IDLE: tuple[tuple[str, Callable[[Spec], bool], str], ...] = (
    (
        "prune.allocation prune.densities prune.min_per_layer prune.data prune.batch_size "
        "rounds.schedule rounds.epochs",
        lambda s: s.prune.masks is not None,
        NO_ROUNDS,
    ),
    (
        "prune.allocation prune.densities prune.min_per_layer",
        lambda s: not allocates(s.sampler),
        NO_ALLOCATION,
    ),
    ("rounds.count", lambda s: s.prune.masks is not None and s.rounds.count != 1, NO_ROUNDS),
    (
        "prune.data prune.batch_size",
        lambda s: reads(s.scorer) == "nothing",
        "this scorer reads no data",
    ),
    ("prune.density", lambda s: s.prune.masks is not None, "prune.masks brings its own density"),
    ("prune.control", lambda s: s.prune.density == 1, "density 1 masks nothing"),
    ("rounds.count rounds.epochs", lambda s: learns(s.scorer), AT_EVERY_STEP),
    ("prune.masks", lambda s: learns(s.scorer), "this scorer learns the mask"),
    ("reinit.period", lambda s: not learns(s.scorer), PERIOD),
    ("rounds.schedule", lambda s: s.rounds.count == 1, "there is one round; set rounds.count"),
    ("rounds.rewind rounds.data", lambda s: s.rounds.epochs == 0, NO_TRAINING),
    ("rounds.rewind_step", lambda s: s.rounds.rewind != "step", "set rounds.rewind = step"),
    (
        "train.momentum train.nesterov",
        lambda s: s.train.optimizer != "sgd",
        "only sgd has momentum",
    ),
    (
        "train.milestones train.gamma",
        lambda s: s.train.schedule != "step",
        "set train.schedule = step",
    ),
    ("train.final_lr", lambda s: s.train.final_epochs == 0, "set train.final_epochs"),
)
IDLE = [(key, idle, why) for keys, idle, why in _IDLE for key in keys.split()]

WHOLE = (
    "density 1 keeps every weight, so there is no mask to learn; choose a smaller density, or "
    "--scorer magnitude for the dense baseline"
)

# A combination that does not make sense: when, why and what to choose instead.
SENSELESS: tuple[tuple[Callable[[Spec], bool], str], ...] = (
    (
        lambda s: acts(s.reinit) and s.prune.masks is not None,
        "reinit acts between rounds and prune.masks takes none; use reinit none",
    ),
    (
        lambda s: s.prune.control == "invert" and s.prune.masks is not None,
        "prune.control = invert needs scores and prune.masks comes without; choose another",
    ),
    (
        lambda s: s.prune.control == "redraw" and comes_trained(s) and s.prune.density != 1,
        "prune.control = redraw cannot redraw pretrained weights; choose another control",
    ),
    (
        lambda s: (
            scales(s.sampler)
            and s.prune.control != "none"
            and s.prune.masks is None
            and s.prune.density != 1
        ),
        "a control would part the masks from the scale that this sampler gives the kept weights; "
        "use prune.control none, or a sampler form without a scale",
    ),
    (lambda s: learns(s.scorer) and s.prune.density == 1, WHOLE),
    (
        lambda s: learns(s.scorer) and s.train.epochs == 0,
        "train.epochs = 0 learns no mask from the initial scores; choose at least 1",
    ),
    (lambda s: learns(s.scorer) and scales(s.sampler), SCALED),
    (
        lambda s: (
            acts(s.reinit) and not learns(s.scorer) and s.rounds.count == 1 and s.prune.density != 1
        ),
        "reinit acts between rounds and there is one round; choose rounds.count >= 2",
    ),
    (
        lambda s: acts(s.reinit) and comes_trained(s) and s.prune.density != 1,
        "reinit cannot redraw pretrained weights; they follow no known init law; use reinit none",
    ),
    (
        lambda s: comes_trained(s) and not as_built(s.init),
        "init would overwrite pretrained weights; use init default",
    ),
    (
        lambda s: (
            s.rounds.rewind == "step" and s.rounds.rewind_step is None and s.rounds.epochs > 0
        ),
        "rounds.rewind = step needs rounds.rewind_step",
    ),
)


def refuse_idle(given: Spec, whole: Spec, sections: str = "") -> None:
    """SpecError for the first option the user gave that cannot act; keys begin with `sections`."""
    for key, idle, why in IDLE:
        if not key.startswith(sections) or not has(given, key):
            continue
        section, name = key.split(".")
        value = getattr(getattr(given, section), name)
        default = getattr(attrs.fields(type(getattr(given, section))), name).default
        if value != default and idle(whole):
            raise SpecError(f"{key} = {value!r} cannot act: {why}")


def refuse_senseless(whole: Spec) -> None:
    """SpecError for the first combination that does not make sense."""
    for senseless, why in SENSELESS:
        if senseless(whole):
            raise SpecError(why)
