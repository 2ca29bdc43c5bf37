"""The kit over every built-in component, and the parts of `prunekit.testing` beside the checks."""

from __future__ import annotations

import typing
from typing import Any

import attrs
import pytest

from prunekit import testing
from prunekit.errors import SpecError
from prunekit.resolve.kinds import METHODS
from prunekit.resolve.plugins import Plugins, builtin_sources
from prunekit.spec.options import fields_of, types_of
from prunekit.spec.sections import Spec

PLUGINS = Plugins(builtin_sources())
OFFLINE = ("digits",)
"""Datasets that need no download and no folder; the others have tests of their own."""


def choices(annotation: Any) -> tuple[Any, ...]:
    """The values of a Literal, both of a bool, none of anything else."""
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)
    return (False, True) if annotation is bool else ()


def variants(kind: str) -> list[Any]:
    """Every component of `kind` as it comes, and with each choice of each option."""
    found = []
    for cls in PLUGINS.components(kind).values():
        found.append(cls())
        annotations = types_of(cls)
        for field in fields_of(cls):
            for value in choices(annotations[field.name]):
                if value != field.default:
                    found.append(cls(**{field.name: value}))
    return found


def as_they_come(kind: str, names: tuple[str, ...] = ()) -> list[Any]:
    found = PLUGINS.components(kind).items()
    return [cls() for name, cls in found if not names or name in names]


def test_every_built_in_plugin_can_be_used():
    assert PLUGINS.problems() == []


@testing.check_scorers(*variants("scorer"))
def test_every_scorer_keeps_its_contract(scorer, check):
    check(scorer)


@testing.check_samplers(*variants("sampler"))
def test_every_sampler_keeps_its_contract(sampler, check):
    check(sampler)


@testing.check_reinits(*variants("reinit"))
def test_every_reinitializer_keeps_its_contract(reinit, check):
    check(reinit)


@testing.check_inits(*variants("init"))
def test_every_init_keeps_its_contract(init, check):
    check(init)


@testing.check_archs(*as_they_come("arch"))
def test_every_architecture_keeps_its_contract(arch, check):
    check(arch)


@testing.check_datasets(*as_they_come("dataset", OFFLINE))
def test_every_offline_dataset_keeps_its_contract(dataset, check):
    check(dataset)


@pytest.mark.parametrize("dataset", variants("dataset"), ids=repr)
@pytest.mark.parametrize("check", testing.OPTION_CHECKS)
def test_every_dataset_has_sound_options(dataset, check):
    check(dataset)


def progress():
    return PLUGINS.observers(["progress"], Spec())[0]


@testing.check_observers(progress)
def test_the_progress_observer_keeps_its_contract(observer, check):
    check(observer)


def test_every_kind_of_component_has_checks():
    assert set(testing.CHECKS) == {*METHODS, "observer"}


def test_every_check_states_a_sentence_of_the_contract():
    for checks in testing.CHECKS.values():
        for check in checks:
            assert check.__doc__.endswith("."), check.__name__


def test_there_are_no_checks_of_a_kind_that_there_is_not():
    with pytest.raises(SpecError, match="no component is of kind 'reinits'; kinds are sco"):
        testing.problems("reinits", None)


def test_problems_name_the_check_and_what_is_wrong():
    @attrs.frozen
    class Nothing:
        def score(self, network, batches, rng):
            return {}

    first = testing.problems("scorer", Nothing())[0]
    assert first.startswith("check_every_weight_has_a_score: expected scores of shapes")


def test_imports_are_those_of_a_fresh_interpreter():
    found = testing.imports_made_by("import wave; print('hello'); raise SystemExit(3)")
    assert "wave" in found
    assert "torch" not in found


def test_code_that_fails_shows_its_traceback():
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        testing.imports_made_by("1 / 0")


def test_the_kit_needs_no_pytest():
    assert "pytest" not in testing.imports_made_by("import prunekit.testing")


@attrs.frozen
class NoRank:
    def initial(self, network: Any, rng: Any) -> Any:
        return {}


@pytest.mark.parametrize(
    ("kind", "component", "message"),
    [
        ("scorer", NoRank(), "scorer must be a component (an object with a method 'score' or"),
        ("scorer", NoRank, "scorer must be a component, and NoRank is its class: NoRank()"),
        ("init", None, "init must be a component (an object with a method"),
    ],
)
def test_what_is_no_component_of_its_kind_is_one_problem(
    kind: str, component: Any, message: str
) -> None:
    (found,) = testing.problems(kind, component)
    assert found.startswith(message)
