"""Spec <-> nested mapping (TOML, command line): nothing is lost, nothing is coerced."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import cattrs
import tomli_w

from prunekit.errors import PrunekitError, SpecError, did_you_mean
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.kinds import check_arguments, keeps_contract, methods_of
from prunekit.resolve.places import is_foreign
from prunekit.resolve.plugins import Plugins, imported_class
from prunekit.resolve.suggestions import suggested_by
from prunekit.spec.options import SCALARS, fields_of, is_a, is_union, spell
from prunekit.spec.sections import COMPONENTS, SECTIONS, Spec


def structure(given: Mapping[str, Any], plugins: Plugins) -> Spec:
    """The Spec that a nested mapping describes; SpecError names the dotted key that is wrong."""
    known = [field.name for field in attrs.fields(Spec)]
    refuse_unknown(given, known, where="")
    values: dict[str, Any] = {}
    for name, value in with_names(underscored(given), plugins).items():
        if name in COMPONENTS:
            values[name] = component_from(name, value, plugins)
        elif name in SECTIONS:
            values[name] = section_from(name, value)
        else:
            values[name] = _scalar(name, value)
    return Spec(**values)


def underscored(table: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """`table` with min_per_layer for min-per-layer; SpecError when both spellings are there."""
    same: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in same:
            raise SpecError(f"{where}{name} is given twice; keep one spelling")
        inner = isinstance(value, Mapping)
        same[name] = underscored(value, f"{where}{name}.") if inner else value
    return same


def with_names(given: Mapping[str, Any], plugins: Plugins) -> dict[str, Any]:
    """`given`, where a component table without a name gets the name it has by default."""
    named = dict(given)
    for kind in COMPONENTS:  # the scorer comes before the sampler that it may suggest
        value = named.get(kind)
        if isinstance(value, Mapping) and "name" not in value:
            named[kind] = {"name": default_name(kind, given.get("scorer"), plugins), **value}
    if "scorer" in given and _unnamed(given["scorer"]) and named.get("sampler") is None:
        named["sampler"] = default_name("sampler", None, plugins)
    return named


def _unnamed(component: Any) -> bool:
    return component is None or (isinstance(component, Mapping) and "name" not in component)


def default_name(kind: str, scorer: Any, plugins: Plugins) -> str:
    """The name of the component where none is given; `scorer` as it was given, None if it was not.

    The sampler is sketch where no scorer is named, else what the scorer suggests, else topk.
    """
    field = getattr(attrs.fields(Spec), kind)
    if kind != "sampler":
        return str(field.default or field.metadata["fallback"])
    if _unnamed(scorer):
        return "sketch"
    suggested = suggested_by(component_from("scorer", scorer, plugins))
    return str(suggested.get("sampler", field.metadata["fallback"]))


def components_from(given: Mapping[str, Any], plugins: Plugins) -> dict[str, Any]:
    """Kind -> component, from kind -> what was given of it; None = the default one."""
    scorer = given.get("scorer")
    names = {
        kind: default_name(kind, scorer, plugins) if value is None else value
        for kind, value in given.items()
    }
    return {kind: component_from(kind, value, plugins) for kind, value in names.items()}


def component_from(kind: str, value: Any, plugins: Plugins) -> Any:
    """A component from its name, from a table with `name` and options, or as it is.

    None is the kind's default, where it has one whatever the others are.
    """
    if value is None:
        value = getattr(attrs.fields(Spec), kind).default
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        return checked_component(kind, value)
    options = dict(value)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise SpecError(f"{kind}.name must name a component: {name!r}")
    cls = component_class(kind, name, plugins)
    if cls is FileArchitecture:
        options = {**options, "source": name}
    return checked_component(kind, build_options(cls, options, kind, name))


def checked_component(kind: str, value: Any) -> Any:
    """The object as it is; SpecError unless it can be a component of this kind."""
    if isinstance(value, type):
        name = value.__name__
        raise SpecError(f"{kind} must be a component, and {name} is its class: {name}()")
    cls = type(value)
    if not keeps_contract(kind, cls):
        shown = repr(value) if value is None or isinstance(value, SCALARS) else cls.__name__
        raise SpecError(
            f"{kind} must be a component (an object with a method {methods_of(kind)}), its name, "
            f"or a table with it: {shown}"
        )
    if not attrs.has(cls):
        raise SpecError(f"{kind} {cls.__name__} must be an attrs class: its fields are its options")
    check_arguments(kind, value)
    return value


def component_class(kind: str, name: str, plugins: Plugins) -> type:
    """The class of a plugin's component, of "module:Class", or of an architecture "file.py:f"."""
    if is_file_name(kind, name):
        return FileArchitecture
    return imported_class(name) if ":" in name else plugins.component(kind, name)


def is_file_name(kind: str, name: str) -> bool:
    """Whether a component's name is that of a function in a file."""
    return kind == "arch" and ".py:" in name


def section_from(name: str, value: Any) -> Any:
    """A section of the spec from its table; `prune.sparsity` is accepted as 1 - density."""
    if attrs.has(type(value)):
        return value
    if not isinstance(value, Mapping):
        raise SpecError(f"{name} must be a table: {value!r}")
    table = dict(value)
    if name == "prune" and "sparsity" in table:
        if "density" in table:
            raise SpecError("prune.sparsity is 1 - prune.density; give one of them")
        table["density"] = density_of(table.pop("sparsity"))
    return build_options(SECTIONS[name], table, name)


def density_of(sparsity: Any) -> float:
    if not is_a(sparsity, float) or not 0 <= sparsity < 1:
        raise SpecError(f"sparsity must lie in [0, 1), the share of weights removed: {sparsity!r}")
    return float(round(1 - sparsity, 12))


def build_options(cls: type, table: Mapping[str, Any], where: str, name: str = "") -> Any:
    """`cls` with its fields from `table`; SpecError names `where`.key on the first mistake."""
    fields = [field.name for field in fields_of(cls)]
    refuse_unknown(table, fields, where, name)
    table = underscored(table, f"{where}.")
    try:
        return _CONVERTER.structure(table, cls)
    except cattrs.ClassValidationError as error:
        mistake = _first_mistake(error)
        if not isinstance(mistake, PrunekitError) and is_foreign(mistake):
            raise mistake from None
        raise SpecError(_placed(_message(mistake), where, fields)) from None
    except PrunekitError as error:
        raise SpecError(_placed(str(error), where, fields)) from None


def _placed(message: str, where: str, fields: Iterable[str]) -> str:
    """A message with its place: "where.field ..." if it begins with a field, else "where: ..."."""
    first = message.replace("=", " ").partition(" ")[0]
    return f"{where}.{message}" if first in fields else f"{where}: {message}"


def refuse_unknown(
    table: Mapping[str, Any], known: Iterable[str], where: str, name: str = ""
) -> None:
    """SpecError with the nearest key when `table` has one that nothing reads."""
    known = list(known)
    for key in table:
        if key.replace("-", "_") not in known:
            offer = f" On offer: {', '.join(known)}." if known else " It has no options."
            hint = did_you_mean(key.replace("-", "_"), known) or offer
            dotted = f"{where}.{key}" if where else key
            owner = f" of {name}" if name else ""
            raise SpecError(f"{dotted!r} is no key{owner}.{hint}")


def _scalar(name: str, value: Any) -> Any:
    annotation = typing.get_type_hints(Spec)[name]
    return _strict(tuple(value) if isinstance(value, list) else value, annotation, name)


def _strict(value: Any, annotation: Any, name: str = "") -> Any:
    """cattrs would turn 3 into "3"; here a value has its option's type or is refused."""
    if isinstance(value, list):
        value = tuple(value)
    if not is_a(value, annotation):
        raise SpecError(f"{name} must be {spell(annotation)}: {value!r}".strip())
    return float(value) if annotation is float else value


def _first_mistake(error: BaseException) -> BaseException:
    """The first exception of those that cattrs found in a class."""
    if isinstance(error, cattrs.ClassValidationError):
        return _first_mistake(error.exceptions[0])
    return error


def _message(mistake: BaseException) -> str:
    """A mistake as "key must be ...: value"."""
    notes = getattr(mistake, "__notes__", [])
    names = [note.name for note in notes if isinstance(note, cattrs.AttributeValidationNote)]
    text = str(mistake)
    return f"{names[0]} {text}" if names and not text.startswith(names[0]) else text


def _is_option_type(annotation: Any) -> bool:
    plain = annotation in SCALARS or is_union(annotation)
    return plain or typing.get_origin(annotation) in (tuple, typing.Literal)


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook_func(_is_option_type, _strict)
    for scalar in SCALARS:  # cattrs looks up its own coercing hooks for these before any predicate
        converter.register_structure_hook(scalar, _strict)
    return converter


_CONVERTER = _make_converter()


def unstructure(spec: Spec, plugins: Plugins) -> dict[str, Any]:
    """The nested mapping of a Spec: what is left open, and a table without keys, is left out."""
    table: dict[str, Any] = {}
    for field in attrs.fields(Spec):
        value = getattr(spec, field.name)
        if value is None:
            continue
        if field.name in COMPONENTS:
            table[field.name] = component_table(field.name, value, plugins)
        elif field.name in SECTIONS:
            table[field.name] = options_table(value)
        else:
            table[field.name] = list(value) if isinstance(value, tuple) else value
    return {key: value for key, value in table.items() if value != {}}


def component_table(kind: str, value: Any, plugins: Plugins) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, FileArchitecture):
        return {"name": value.source}
    return {"name": plugins.name_of(kind, type(value)), **options_table(value)}


def options_table(value: Any) -> dict[str, Any]:
    """Field name -> value of an attrs object, without what is None."""
    pairs = ((field.name, getattr(value, field.name)) for field in fields_of(type(value)))
    return {
        key: list(item) if isinstance(item, tuple) else item
        for key, item in pairs
        if item is not None
    }


def to_toml(spec: Spec, plugins: Plugins) -> str:
    """The spec as TOML; reading it gives an equal spec. SpecError for what UTF-8 cannot hold."""
    text = tomli_w.dumps(unstructure(spec, plugins))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text[: error.end].splitlines()[-1] + text[error.end :].partition("\n")[0]
        raise SpecError(f"a spec is UTF-8, and this is not: {line}; rename the file") from None
    return text
