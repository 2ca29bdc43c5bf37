"""What the options of every component must do, whatever its kind."""

from __future__ import annotations

import tomllib
from typing import Any

import attrs
import tomli_w

from prunekit.errors import PrunekitError
from prunekit.resolve.structure import build_options, options_table
from prunekit.spec.options import check_options, fields_of, parse, types_of


def check_class_is_frozen(component: Any) -> None:
    """A component is an attrs class and frozen: its options never change."""
    name = type(component).__name__
    assert attrs.has(type(component)), f"{name} is no attrs class; decorate it with @attrs.frozen"
    try:
        component.option_that_is_not_there = None
    except attrs.exceptions.FrozenInstanceError:
        return
    except AttributeError:
        pass  # slots without frozen
    raise AssertionError(f"{name} is not frozen; decorate it with @attrs.frozen")


def check_options_are_typed_and_have_defaults(component: Any) -> None:
    """Every option has a default and a type that a flag and a TOML file can carry."""
    if attrs.has(type(component)):
        try:
            check_options(type(component))
        except PrunekitError as error:
            raise AssertionError(str(error)) from None


def check_options_have_help(component: Any) -> None:
    """Every option says in a few words what it does."""
    mute = [field.name for field in _fields(component) if not field.metadata.get("help")]
    assert not mute, f"no help for {', '.join(mute)}; write prunekit.option(default, help=...)"


def check_options_survive_toml(component: Any) -> None:
    """Written to TOML and read back, the component is equal to itself."""
    if _fields(component):
        text = tomli_w.dumps(options_table(component))
        again = build_options(type(component), tomllib.loads(text), "component")
        assert again == component, f"{component} comes back from TOML as {again}"


def check_options_survive_the_command_line(component: Any) -> None:
    """Each option's value, written as the text of a flag, is read as the same value."""
    annotations = types_of(type(component)) if _fields(component) else {}
    for field in _fields(component):
        value = getattr(component, field.name)
        if value is not None:
            again = parse(as_text(value), annotations[field.name])
            assert again == value, f"{field.name} = {value!r} comes back as {again!r}"


def as_text(value: Any) -> str:
    """An option's value as the text of its flag."""
    if isinstance(value, tuple):
        return ",".join(map(as_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fields(component: Any) -> list[attrs.Attribute[Any]]:
    return list(fields_of(type(component))) if attrs.has(type(component)) else []


CHECKS = (
    check_class_is_frozen,
    check_options_are_typed_and_have_defaults,
    check_options_have_help,
    check_options_survive_toml,
    check_options_survive_the_command_line,
)
