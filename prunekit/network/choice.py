"""Which parameters a user chose: shell patterns over their names, and types of modules."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from torch import nn

from prunekit.errors import SpecError
from prunekit.network.names import Layer

Choice = str | type[nn.Module]
"""A shell pattern over parameter names, or a type: the parameters of such modules and what is in
them. A pattern that ends in ? may match nothing."""


@attrs.frozen(eq=False)
class Chosen:
    """What `include` or `exclude` names. key: which of them, for messages."""

    key: str
    choices: tuple[Choice, ...]
    matched: frozenset[str]
    full: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.choices)

    def __contains__(self, name: str) -> bool:
        return name in self.matched


def chosen(key: str, choices: Any, model: nn.Module, layers: Mapping[str, Layer]) -> Chosen:
    """The parameters that `choices` name. Raises SpecError for one that names none."""
    if isinstance(choices, str | type) or not isinstance(choices, Sequence | None):
        raise SpecError(f"include and exclude are lists of patterns: {choices!r}")
    parts, aliases = tuple(choices or ()), _aliases(model, layers) if choices else {}
    matched: set[str] = set()
    for choice in parts:
        names = _named_by(key, choice, model, layers, aliases)
        if not names and not (isinstance(choice, str) and choice.endswith("?")):
            raise SpecError(_nothing(key, choice, layers))
        matched |= names
    full = {n for n, known in aliases.items() if any(other in parts for other in known)}
    return Chosen(key, parts, frozenset(matched), frozenset(full))


def _aliases(model: nn.Module, layers: Mapping[str, Layer]) -> dict[str, set[str]]:
    """Parameter name -> every name that it has: tied weights have several."""
    names = {id(layer.parameter): {name} for name, layer in layers.items()}
    for alias, parameter in model.named_parameters(remove_duplicate=False):
        names.get(id(parameter), set()).add(alias)
    return {name: names[id(layer.parameter)] for name, layer in layers.items()}


def _named_by(
    key: str,
    choice: Any,
    model: nn.Module,
    layers: Mapping[str, Layer],
    aliases: Mapping[str, set[str]],
) -> set[str]:
    if isinstance(choice, type) and issubclass(choice, nn.Module):
        inside = {
            id(parameter)
            for module in model.modules()
            if isinstance(module, choice)
            for parameter in module.parameters()
        }
        return {name for name, layer in layers.items() if id(layer.parameter) in inside}
    if not isinstance(choice, str):
        raise SpecError(f"{key} names parameters by patterns or module types: {choice!r}")
    patterns = (choice, choice[:-1]) if choice.endswith("?") else (choice,)
    return {
        name
        for name, known in aliases.items()
        if any(fnmatch.fnmatchcase(other, one) for other in known for one in patterns)
    }


def _nothing(key: str, choice: Choice, layers: Mapping[str, Layer]) -> str:
    some = next(iter(layers), "none")
    if not isinstance(choice, str):
        return f"{key}: no parameter is in a module of type {choice.__name__}; leave it out"
    return (
        f"the pattern {choice!r} of {key} matches no parameter; names are as {some!r}, and a "
        f"pattern that may match nothing ends in ?: {choice + '?'!r}"
    )
