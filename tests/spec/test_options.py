from __future__ import annotations

from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import PluginError, SpecError
from prunekit.spec import options


@attrs.frozen
class Sample:
    rounds: int = options.option(1, help="how many", validator=options.at_least(1))
    rate: float = options.option(0.5, help="a share", validator=options.between(0, 1))
    mode: Literal["eval", "train"] = options.option("eval", help="batch-norm mode")
    names: tuple[str, ...] = options.option((), help="names")
    pair: tuple[int, str] = options.option((1, "a"), help="two things")
    density: float | None = options.left_open(0.1, help="kept", validator=options.density())


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (3, int),
        (3, float),
        (0.5, float | None),
        (None, float | None),
        ("eval", Literal["eval", "train"]),
        ((1.0, 2), tuple[float, ...]),
        ((1, "a"), tuple[int, str]),
        ((), tuple[str, ...]),
        (object(), Any),
    ],
)
def test_a_value_of_its_type_passes(value, annotation):
    assert options.is_a(value, annotation)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (True, int),
        (1, bool),
        (3, str),
        ("3", int),
        (0.5, int),
        (None, int),
        (True, Literal[1]),
        ([1], tuple[int, ...]),
        ((1, "a"), tuple[int, ...]),
        ((1,), tuple[int, str]),
        ((1, 2), tuple[int, str]),
    ],
)
def test_a_value_of_another_type_is_refused(value, annotation):
    assert not options.is_a(value, annotation)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rounds", 0, "rounds must be >= 1: 0"),
        ("rounds", "3", "rounds must be int: '3'"),
        ("rounds", True, "rounds must be int: True"),
        ("rate", float("nan"), "rate must lie in [0, 1]: nan"),
        ("density", 0, "density must lie in (0, 1], the share of weights kept: 0"),
        ("density", float("inf"), "density must lie in (0, 1], the share of weights kept: inf"),
        ("mode", "test", "mode must be one of eval, train: 'test'"),
        ("names", "a", "names must be a list of str: 'a'"),
        ("pair", ("a", 1), "pair must be (int, str): ('a', 1)"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_was_expected(field, value, message):
    with pytest.raises(SpecError) as caught:
        Sample(**{field: value})
    assert str(caught.value) == message


def test_a_positive_number_is_above_zero():
    with pytest.raises(SpecError, match=r"rate must be > 0: 0\.0"):
        options.positive()(None, attrs.fields(Sample).rate, 0.0)


def test_an_open_option_is_none_and_carries_its_fallback():
    assert Sample().density is None
    assert attrs.fields(Sample).density.metadata["fallback"] == 0.1


def test_underscored_fields_are_no_options():
    @attrs.frozen
    class Hidden:
        shown: int = options.option(1, help="")
        _cache: int = 0

    assert [field.name for field in options.fields_of(Hidden)] == ["shown"]


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("1e-4", float, 1e-4),
        ("-1", float | None, -1.0),
        ("yes", bool, True),
        ("False", bool, False),
        ("train", Literal["eval", "train"], "train"),
        ("a, b", tuple[str, ...], ("a", "b")),
        ("", tuple[str, ...], ()),
        ("3,x", tuple[int, str], (3, "x")),
        ("0.5", int | float, 0.5),
        ("x", int | str, "x"),
    ],
)
def test_text_becomes_a_value_of_the_option_s_type(text, annotation, value):
    parsed = options.parse(text, annotation)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "annotation"),
    [
        ("x", int),
        ("0.5", int),
        ("", float),
        ("maybe", bool),
        ("test", Literal["eval", "train"]),
        ("3", tuple[int, str]),
        ("a", tuple[int, ...]),
        ("x", int | float),
    ],
)
def test_text_that_is_no_such_value_is_refused(text, annotation):
    with pytest.raises(SpecError, match="expected"):
        options.parse(text, annotation)


@given(st.lists(st.integers()))
def test_a_list_of_numbers_survives_its_text(numbers):
    text = ",".join(map(str, numbers))
    assert options.parse(text, tuple[int, ...]) == tuple(numbers)


@given(st.floats(allow_nan=False))
def test_a_float_survives_its_text(number):
    assert options.parse(repr(number), float | None) == number


def test_a_component_class_of_typed_options_with_defaults_is_accepted():
    options.check_options(Sample)


class Plain:
    pass


@attrs.frozen
class NoDefault:
    rounds: int


@attrs.frozen
class OddType:
    table: dict = options.option((), help="")


@attrs.frozen
class UnknownType:
    rounds: Nonsense = options.option(1, help="")  # noqa: F821


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Plain, "Plain is no attrs class"),
        (NoDefault, "NoDefault.rounds has no default"),
        (OddType, "OddType.table: <class 'dict'> is no option type"),
        (UnknownType, "an option's annotation is unknown: name 'Nonsense'"),
    ],
)
def test_a_class_whose_options_cannot_be_typed_in_is_refused(cls, message):
    with pytest.raises(PluginError, match=message):
        options.check_options(cls)
