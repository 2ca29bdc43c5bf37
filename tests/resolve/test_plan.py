"""The plan: complete, typed, and the same as what the spec says."""

from __future__ import annotations

import types
import typing
from typing import Any

import attrs
import pytest

from prunekit import Prune, Rounds, Spec, Train
from prunekit.resolve.filling import resolve
from prunekit.resolve.plan import GivenMasks, LearnedMasks, MeasuredMasks, Plan, Rewind
from prunekit.resolve.plugins import Plugins
from prunekit.selection.budget import Rule
from prunekit.spec.sections import DataOptions
from prunekit.spec.settings import (
    DataSettings,
    PruneSettings,
    RoundSettings,
    Scored,
    TrainSettings,
)

PLUGINS = Plugins()
NONE_SAYS_SOMETHING = {"weights", "size", "masks", "rewind_step"}
"""Fields whose None is an answer: no file, as they are, made here, never."""
LEARNED = {"scorer": "edge-popup", "init": "signed-constant"}


def closed(annotation: Any) -> Any:
    """The type of an option that is filled."""
    if not isinstance(annotation, types.UnionType) and typing.get_origin(annotation) is None:
        return annotation
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    return parts[0] if len(parts) == 1 else annotation


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        (Prune, PruneSettings),
        (Rounds, RoundSettings),
        (Train, TrainSettings),
        (DataOptions, DataSettings),
    ],
)
def test_settings_have_the_fields_of_their_section_and_nothing_open(section, settings):
    said, does = typing.get_type_hints(section), typing.get_type_hints(settings)
    assert list(said) == list(does)
    for name, annotation in does.items():
        wanted = said[name] if name in NONE_SAYS_SOMETHING else closed(said[name])
        assert annotation == wanted, name


@pytest.mark.parametrize(
    "spec",
    [
        Spec(),
        Spec(scorer="snip"),
        Spec(**LEARNED, reinit="iterand"),
        Spec(scorer="magnitude", prune=Prune(density=1.0)),
        Spec(scorer="magnitude", rounds=Rounds(count=3, epochs=1, rewind="step", rewind_step=2)),
        Spec(prune=Prune(masks="elsewhere")),
        Spec(train=Train(optimizer="adamw", schedule="step")),
    ],
)
def test_no_field_of_a_plan_is_open_and_its_own_spec_gives_it_again(spec):
    plan = resolve(spec, PLUGINS)
    assert list(open_fields(plan)) == []
    again = resolve(plan.spec, PLUGINS)
    assert again.spec == plan.spec
    assert shown(again) == shown(plan)


def open_fields(part: Any) -> Any:
    """The names of fields that are None, in all that is no component of a plan."""
    for field in attrs.fields(type(part)):
        value = getattr(part, field.name)
        if value is None and field.name not in NONE_SAYS_SOMETHING:
            yield field.name
        for inner in value if isinstance(value, tuple) else (value,):
            if type(inner).__module__.startswith("prunekit.") and field.name != "spec":
                yield from open_fields(inner)


def shown(plan: Plan) -> dict[str, Any]:
    return attrs.asdict(plan, filter=lambda field, value: field.name != "spec")


def test_each_round_has_its_method_its_density_and_whether_it_trains():
    rounds = Rounds(count=2, epochs=3, schedule="linear", rewind="lr")
    plan = resolve(
        Spec(scorer="magnitude", prune=Prune(density=0.5, densities=["*=0.5"]), rounds=rounds),
        PLUGINS,
    )
    assert isinstance(plan.masks, MeasuredMasks)
    assert [(r.density, r.epochs, r.last) for r in plan.rounds] == [
        (0.75, 3, False),
        (0.5, 3, True),
    ]
    assert [r.method.rule for r in plan.rounds] == [
        Rule("global", ("*=0.75",), 0),
        Rule("global", ("*=0.5",), 0),
    ]
    assert plan.masks.rewind == Rewind("lr", 0)
    assert plan.masks.trained_on == "real"


def test_density_one_plans_no_round():
    plan = resolve(Spec(scorer="magnitude", prune=Prune(density=1.0)), PLUGINS)
    assert plan.rounds == ()
    assert (plan.densities, plan.budget) == ([], None)


def test_learned_scores_and_masks_of_another_run_plan_no_round_either():
    learned, given = (
        resolve(Spec(**LEARNED), PLUGINS),
        resolve(Spec(prune=Prune(masks="a")), PLUGINS),
    )
    assert isinstance(learned.masks, LearnedMasks)
    assert learned.densities == [0.5]
    assert isinstance(given.masks, GivenMasks)
    assert given.masks.path.startswith("/")
    assert (given.rounds, given.densities) == ((), [])


@pytest.mark.parametrize(
    ("spec", "scored"),
    [
        (Spec(scorer={"name": "snip", "batches": 3}), Scored("real", 3, 256)),
        (Spec(scorer="magnitude"), Scored("real", 0, 256)),
        (Spec(scorer="synflow"), Scored("real", 0, 256)),  # on an input of its own
        (Spec(scorer="random"), Scored("real", 0, 256)),
        (
            Spec(scorer="iter-snip", prune=Prune(data="normal", batch_size=9)),
            Scored("normal", 1, 9),
        ),
    ],
)
def test_a_plan_says_which_batches_a_round_scores(spec, scored):
    assert resolve(spec, PLUGINS).masks.scored == scored


@attrs.frozen
class Whole:
    """A sampler that takes no allocation."""

    allocates = False

    def sample(self, scores, budget, rng):
        raise NotImplementedError


@pytest.mark.parametrize("scorer", ["synflow", "edge-popup"])
def test_what_a_scorer_suggests_for_layers_is_nothing_to_a_sampler_without_allocation(scorer):
    plan = resolve(Spec(scorer=scorer, sampler=Whole()), PLUGINS)
    _, rule, _ = plan.budget
    assert rule == Rule("global", (), 0)
    assert (plan.spec.prune.allocation, plan.spec.prune.min_per_layer) == (None, None)


@attrs.frozen
class Misread:
    """A scorer that states something unknown: it is given batches."""

    reads = "everything"

    def score(self, network, batches, rng):
        raise NotImplementedError


def test_a_scorer_that_reads_what_nobody_knows_is_given_batches():
    assert resolve(Spec(scorer=Misread()), PLUGINS).masks.scored.batches == 1


def test_a_section_with_a_hole_is_no_setting():
    with pytest.raises(TypeError, match=r"TrainSettings\.epochs is left open"):
        TrainSettings.of(Train())
