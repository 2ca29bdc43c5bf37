"""A function's own signature and docstring as flags of the command line: nothing is said twice.

The line `name: text` of a docstring is the help of the argument `name`; what Python types as
numbers, Literal or (nested) sequences can be given as text, other arguments have no flag.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from prunekit.errors import SpecError
from prunekit.spec.options import is_union, parse

FORMS = ("form", "theorem")
"""Arguments that choose among what a paper prints and what holds; left open, all are shown."""
ARGUMENT = re.compile(r"^(\w+): (.*)$")


def arguments_of(function: Callable[..., Any]) -> Mapping[str, tuple[inspect.Parameter, Any]]:
    """Name -> (parameter, type) of each argument that text can give."""
    options = {}
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = type_of(function, parameter)
        if converter(annotation) is not None:
            options[name] = parameter, annotation
    return options


def type_of(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """The annotation of one argument; None where its names are for type checkers only."""
    alone = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
    try:
        return typing.get_type_hints(alone, vars(inspect.getmodule(function)))["it"]
    except NameError:
        return None


def converter(annotation: Any) -> Callable[[str], Any] | None:
    """Text -> value of this type; None where text gives no such value."""
    if annotation is Any:
        return numbers
    if is_union(annotation):
        parts = [converter(part) for part in typing.get_args(annotation) if part is not type(None)]
        known = [part for part in parts if part is not None]
        return known[-1] if known else None
    if typing.get_origin(annotation) is Sequence:
        inner = typing.get_args(annotation)[0]
        if inner is str or typing.get_origin(inner) is Literal:
            return lambda text: [parse(word.strip(), inner) for word in text.split(",")]
        return numbers if numeric(inner) else None
    if annotation in (bool, int, float, str) or typing.get_origin(annotation) is Literal:
        return lambda text: parse(text, annotation)
    return None


def numeric(annotation: Any) -> bool:
    """Whether JSON's numbers, lists of them and null say every value of this type."""
    if is_union(annotation) or typing.get_origin(annotation) in (Sequence, tuple):
        parts = typing.get_args(annotation)
        return all(part in (type(None), Ellipsis) or numeric(part) for part in parts)
    return annotation in (int, float)


def numbers(text: str) -> Any:
    """`1,2.5,3`, or nested lists as JSON: `[[1,2],[3,4]]`; .5 and 5. are numbers too."""
    digits = re.sub(r"(?<!\d)\.(?=\d)", "0.", re.sub(r"(?<=\d)\.(?!\d)", ".0", text))
    try:
        return json.loads(digits if text.lstrip().startswith("[") else f"[{digits}]")
    except (ValueError, RecursionError):
        raise SpecError(f"expected numbers: 1,2,3 or [[1,2],[3,4]]: {text[:80]!r}") from None


def described(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """A docstring's text, and what it says of each argument."""
    text, said = [], {}
    parameters = inspect.signature(function).parameters
    for line in inspect.cleandoc(function.__doc__ or "").splitlines():
        match = ARGUMENT.match(line)
        if match and match[1] in parameters:
            said[match[1]] = match[2]
        else:
            text.append(line)
    return "\n".join(text), said


def add_flags(parser: argparse.ArgumentParser, function: Callable[..., Any]) -> None:
    """A flag for each argument of `function` that text can give."""
    text, said = described(function)
    parser.description = text
    for name, (parameter, annotation) in arguments_of(function).items():
        needed = parameter.default is inspect.Parameter.empty and name not in FORMS
        default = "" if needed or parameter.default is None else f" [{parameter.default}]"
        note = " [all]" if name in FORMS else default
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            required=needed,
            default=argparse.SUPPRESS,
            metavar=placeholder(annotation),
            help=f"{said.get(name, '')}{note}".strip().replace("%", "%%"),
        )


def placeholder(annotation: Any) -> str:
    """What stands for a value in a help text."""
    union = typing.get_args(annotation) if is_union(annotation) else (annotation,)
    parts = [part for part in union if part is not type(None) and converter(part) is not None]
    if any(typing.get_origin(part) is Sequence or part is Any for part in parts):
        return "LIST"
    if typing.get_origin(parts[-1]) is Literal:
        return "|".join(map(str, typing.get_args(parts[-1])))
    return "TEXT" if parts[-1] is str else parts[-1].__name__.upper()


def values_of(args: argparse.Namespace, function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of `function` that were given, as values of their types."""
    values = {}
    for name, (_, annotation) in arguments_of(function).items():
        if hasattr(args, name):
            convert = converter(annotation)
            assert convert is not None
            flag = f"--{name.replace('_', '-')}"
            try:
                values[name] = convert(getattr(args, name))
            except SpecError as error:
                raise SpecError(f"{flag}: {error}") from None
    return values


def form_of(function: Callable[..., Any]) -> tuple[str, tuple[str, ...]] | None:
    """(name, values) of the argument that chooses a form; None where there is but one."""
    for name, (_, annotation) in arguments_of(function).items():
        if name in FORMS:
            return name, typing.get_args(annotation)
    return None
