"""What cannot act and what does not make sense: each rule once, asked before any work.

The rules of a training and of a sampler hold for runs and for Python; the others need a whole spec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from prunekit.contracts import (
    MaskSampler,
    Reinitializer,
    acts,
    allocates,
    as_built,
    learns,
    pretrained,
    reads,
    scales,
)
from prunekit.errors import SpecError
from prunekit.spec.sections import Prune, Spec, Train

PERIOD = (
    "inside training a fixed mask makes redrawing pointless; with measured scores it acts between "
    "rounds, with learned ones inside training"
)
SCALED = (
    "learned scores keep the weights as drawn and this sampler scales the kept ones; choose "
    "another sampler, or a form of it without a scale"
)
NO_ROUNDS = "prune.masks brings the masks, nothing is scored"
NO_TRAINING = "no round trains; set rounds.epochs"
AT_EVERY_STEP = "learned scores are sampled at every step"
WHOLE = (
    "density 1 keeps every weight, so there is no mask to learn; choose a smaller density, or "
    "--scorer magnitude for the dense baseline"
)

SHARING = "prune.allocation prune.densities prune.min_per_layer"
"""The options that share a budget among layers: they act where the sampler allocates."""

TRAINING: tuple[tuple[str, Callable[[Train], bool], str], ...] = (
    ("train.momentum train.nesterov", lambda t: t.optimizer != "sgd", "only sgd has momentum"),
    ("train.milestones train.gamma", lambda t: t.schedule != "step", "set train.schedule = step"),
    ("train.final_lr", lambda t: t.final_epochs == 0, "set train.final_epochs"),
)
"""Options of a training that cannot act: dotted keys, when they are idle, why."""

RUN: tuple[tuple[str, Callable[[Spec], bool], str], ...] = (
    (
        f"{SHARING} prune.data prune.batch_size rounds.schedule rounds.epochs",
        lambda s: s.prune.masks is not None,
        NO_ROUNDS,
    ),
    (SHARING, lambda s: not allocates(s.sampler), "this sampler takes no allocation"),
    ("rounds.count", lambda s: s.prune.masks is not None and s.rounds.count != 1, NO_ROUNDS),
    ("rounds.keep", lambda s: s.prune.masks is not None, NO_ROUNDS),
    (
        "prune.data prune.batch_size",
        lambda s: reads(s.scorer) == "nothing",
        "this scorer reads no data",
    ),
    ("prune.density", lambda s: s.prune.masks is not None, "prune.masks brings its own density"),
    ("prune.control rounds.keep", lambda s: s.prune.density == 1, "density 1 masks nothing"),
    ("rounds.count rounds.epochs rounds.keep", lambda s: learns(s.scorer), AT_EVERY_STEP),
    ("prune.masks", lambda s: learns(s.scorer), "this scorer learns the mask"),
    ("reinit.period", lambda s: not learns(s.scorer), PERIOD),
    ("rounds.schedule", lambda s: s.rounds.count == 1, "there is one round; set rounds.count"),
    ("rounds.rewind rounds.data", lambda s: s.rounds.epochs == 0, NO_TRAINING),
    ("rounds.rewind_step", lambda s: s.rounds.rewind != "step", "set rounds.rewind = step"),
)
"""Options of a run that cannot act."""

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
    (
        lambda s: s.train.label_smoothing > 0 and s.loss not in (None, "cross-entropy"),
        "train.label_smoothing acts on loss = cross-entropy only; leave it out",
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
"""Combinations that do not make sense: when, why and what to choose instead."""


def comes_trained(spec: Spec) -> bool:
    """Whether the weights come trained, from the architecture or from a file."""
    return pretrained(spec.arch) or spec.weights is not None


def idle_keys(whole: Spec) -> dict[str, str]:
    """Dotted key -> why, of each option that cannot act in a filled spec."""
    idle = [(keys, why) for keys, is_idle, why in RUN if is_idle(whole)]
    idle += [(keys, why) for keys, is_idle, why in TRAINING if is_idle(whole.train)]
    reasons: dict[str, str] = {}
    for keys, why in idle:
        for key in keys.split():
            reasons.setdefault(key, why)  # the first reason counts
    return reasons


def refuse_idle(given: Spec, whole: Spec) -> None:
    """SpecError for the first option of a run that the user gave and that cannot act."""
    parts = {name: getattr(given, name) for name in attrs.fields_dict(Spec)}
    _refuse(parts, idle_keys(whole))


def refuse_idle_training(given: Train, whole: Train) -> None:
    """SpecError for an option of a training that was given and cannot act."""
    idle = {k: why for keys, is_idle, why in TRAINING for k in keys.split() if is_idle(whole)}
    _refuse({"train": given}, idle)


def refuse_idle_sharing(given: Prune, sampler: MaskSampler) -> None:
    """SpecError for an option that shares the budget, where the sampler takes none."""
    if not allocates(sampler):
        _refuse(
            {"prune": given}, dict.fromkeys(SHARING.split(), "this sampler takes no allocation")
        )


def refuse_idle_period(reinit: Reinitializer) -> None:
    """SpecError for a period that was given where no training is: it acts inside one only."""
    _refuse({"reinit": reinit}, {"reinit.period": PERIOD})


def _refuse(parts: Mapping[str, Any], idle: Mapping[str, str]) -> None:
    for key, why in idle.items():
        section, name = key.split(".")
        part = parts[section]
        field = attrs.fields_dict(type(part)).get(name)  # components differ in their options
        if field is not None and getattr(part, name) != field.default:
            raise SpecError(f"{key} = {getattr(part, name)!r} cannot act: {why}")


def refuse_senseless(whole: Spec) -> None:
    """SpecError for the first combination that does not make sense."""
    for senseless, why in SENSELESS:
        if senseless(whole):
            raise SpecError(why)
