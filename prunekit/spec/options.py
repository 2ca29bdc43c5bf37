"""Options: typed once as attrs fields, reachable from Python, TOML and the command line."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal

import attrs

from prunekit.errors import PluginError, SpecError

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]

SCALARS = (bool, int, float, str)


def option(
    default: Any, *, help: str, validator: Validator | None = None, path: bool = False
) -> Any:
    """One option of a component or of a spec section; `default` is the paper's value.

    A list is taken for a tuple. path: it names a file or folder; a run stores it absolute, so that
    it resumes from anywhere.
    """
    metadata = {"help": help, "path": path}
    return attrs.field(
        default=default, converter=_listed, validator=_checked(validator), metadata=metadata
    )


def left_open(fallback: Any, *, help: str, validator: Validator | None = None) -> Any:
    """An option whose default is None, "left open": a component may suggest its value.

    What nobody gives or suggests becomes `fallback` when the spec is resolved.
    """
    return attrs.field(
        default=None,
        converter=_listed,
        validator=attrs.validators.optional(_checked(validator) or []),
        metadata={"help": help, "fallback": fallback},
    )


def _listed(value: Any) -> Any:
    return tuple(map(_listed, value)) if isinstance(value, list) else value


def at_least(bound: float) -> Validator:
    """Validator: the value is a number >= `bound`."""
    return _must(lambda value: value >= bound, f"be >= {bound}")


def between(low: float, high: float) -> Validator:
    """Validator: low <= value <= high."""
    return _must(lambda value: low <= value <= high, f"lie in [{low}, {high}]")


def positive() -> Validator:
    """Validator: the value is a number > 0."""
    return _must(lambda value: value > 0, "be > 0")


def density() -> Validator:
    """Validator: the share of weights kept, in (0, 1]."""
    return _must(lambda value: 0 < value <= 1, "lie in (0, 1], the share of weights kept")


def _must(accept: Callable[[Any], bool], demand: str) -> Validator:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not is_a(value, float) or not math.isfinite(value) or not accept(value):
            raise SpecError(f"{attribute.name} must {demand}: {value!r}")

    return check


def _checked(validator: Validator | None) -> Any:
    """Every option is checked against its own annotation, then by `validator`."""
    return [_of_its_type] if validator is None else [_of_its_type, validator]


def _of_its_type(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    annotation = types_of(type(instance))[attribute.name]
    if not is_a(value, annotation):
        raise SpecError(f"{attribute.name} must be {spell(annotation)}: {value!r}")


def fields_of(cls: type) -> Iterator[attrs.Attribute[Any]]:
    """The options of a component class, in order of definition."""
    return (field for field in attrs.fields(cls) if field.init and not field.name.startswith("_"))


def types_of(cls: Any) -> Mapping[str, Any]:
    """Field name -> resolved annotation (attrs keeps them as text under `from __future__`)."""
    return _types_of(cls)


@lru_cache(maxsize=1024)
def _types_of(cls: Any) -> Mapping[str, Any]:
    try:
        resolved = attrs.resolve_types(cls)
    except NameError as error:
        raise PluginError(f"{cls.__name__}: an option's annotation is unknown: {error}") from None
    return {field.name: field.type for field in attrs.fields(resolved)}


def check_options(cls: type) -> None:
    """Raise PluginError unless `cls` is a frozen attrs class of typed, defaulted options."""
    if not attrs.has(cls):
        raise PluginError(f"{cls.__name__} is no attrs class; decorate it with @attrs.frozen")
    annotations = types_of(cls)
    for field in fields_of(cls):
        if field.default is attrs.NOTHING:
            raise PluginError(f"{cls.__name__}.{field.name} has no default; give the paper's value")
        if not allowed(annotations[field.name]):
            raise PluginError(
                f"{cls.__name__}.{field.name}: {annotations[field.name]} is no option type; "
                "use bool, int, float, str, Literal, a tuple of these, or one of them | None"
            )
        if not _has_fitting_default(field, annotations[field.name]):
            raise PluginError(
                f"{cls.__name__}.{field.name}: its default must be "
                f"{spell(annotations[field.name])}: {type(field.default).__name__}"
            )


def _has_fitting_default(field: attrs.Attribute[Any], annotation: Any) -> bool:
    """Whether the default is of the option's type, as far as it can be told before it is made."""
    made_later = field.converter not in (None, _listed) or hasattr(field.default, "takes_self")
    left_open = field.default is None and "fallback" in field.metadata
    return made_later or left_open or is_a(_listed(field.default), annotation)


def allowed(annotation: Any) -> bool:
    """Whether options may have this type: scalars, Literal, tuples of these, and `| None`."""
    if is_union(annotation):
        return all(part is type(None) or allowed(part) for part in typing.get_args(annotation))
    if typing.get_origin(annotation) is tuple:
        return all(part is Ellipsis or allowed(part) for part in typing.get_args(annotation))
    return annotation in SCALARS or typing.get_origin(annotation) is Literal


def is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def is_a(value: Any, annotation: Any) -> bool:
    """Strictly: True is no int, 3 is no str; an int is a float (TOML writes 1 for 1.0)."""
    return _test_of(annotation)(value)


@lru_cache(maxsize=1024)
def _test_of(annotation: Any) -> Callable[[Any], bool]:
    """Tells whether a value is of an annotation."""
    if annotation is Any:
        return lambda value: True
    parts = typing.get_args(annotation)
    if is_union(annotation):
        tests = [_test_of(part) for part in parts]
        return lambda value: any(test(value) for test in tests)
    if typing.get_origin(annotation) is Literal:
        return lambda value: any(type(value) is type(one) and value == one for one in parts)
    if typing.get_origin(annotation) is tuple:
        return lambda value: isinstance(value, tuple) and _are(value, parts)
    if _none(annotation):
        return lambda value: value is None
    if annotation in (int, float):
        kinds = (int, float) if annotation is float else int
        return lambda value: isinstance(value, kinds) and not isinstance(value, bool)
    return lambda value: isinstance(value, annotation)


def _are(items: tuple[Any, ...], parts: tuple[Any, ...]) -> bool:
    """Whether `items` fit tuple[part, ...] or, part by part, a tuple of fixed length."""
    if parts[-1] is Ellipsis:
        return all(is_a(item, parts[0]) for item in items)
    return len(items) == len(parts) and all(map(is_a, items, parts))


def spell(annotation: Any) -> str:
    """An annotation in words: "int", "one of eval, train", "comma-separated strs"."""
    if is_union(annotation):
        return " or ".join(spell(part) for part in typing.get_args(annotation) if not _none(part))
    if typing.get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(annotation)))
    if typing.get_origin(annotation) is tuple:
        parts = typing.get_args(annotation)
        many = parts[-1] is Ellipsis
        return f"a list of {spell(parts[0])}" if many else f"({', '.join(map(spell, parts))})"
    return getattr(annotation, "__name__", str(annotation))


def _none(annotation: Any) -> bool:
    return annotation in (None, type(None))


def parse(text: str, annotation: Any) -> Any:
    """Text from the command line as a value of `annotation`; SpecError when it is none."""
    if is_union(annotation):
        return _first(text, [part for part in typing.get_args(annotation) if not _none(part)])
    if typing.get_origin(annotation) is tuple:
        return _parse_items(text, annotation)
    if typing.get_origin(annotation) is Literal:
        named = {str(value): value for value in typing.get_args(annotation)}
        return named[text] if text in named else _refuse(text, annotation)
    if annotation is bool:
        named = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
        return named[text.lower()] if text.lower() in named else _refuse(text, annotation)
    try:
        return annotation(text)
    except ValueError:
        return _refuse(text, annotation)


def _first(text: str, parts: list[Any]) -> Any:
    for part in parts[:-1]:
        try:
            return parse(text, part)
        except SpecError:
            continue
    return parse(text, parts[-1])


def _parse_items(text: str, annotation: Any) -> tuple[Any, ...]:
    parts = typing.get_args(annotation)
    items = [item.strip() for item in text.split(",") if item.strip()]
    if parts[-1] is Ellipsis:
        parts = parts[:1] * len(items)
    return (
        tuple(map(parse, items, parts)) if len(items) == len(parts) else _refuse(text, annotation)
    )


def _refuse(text: str, annotation: Any) -> Any:
    raise SpecError(f"expected {spell(annotation)}: {text!r}")
