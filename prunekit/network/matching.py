"""Names that were written down elsewhere: which parameter of this model does each stand for?"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from prunekit.errors import SpecError

T = TypeVar("T")

WRAPPER = re.compile(
    r"(?:(?<=\.)|^)(?:base_model\.model|module|_orig_mod|_fsdp_wrapped_module|"
    r"_checkpoint_wrapped_module|_forward_module|base_layer)\.(?=.)"
)
"""What wrappers put into names (a module of one's own may be called so too)."""

COMPUTED = re.compile(r"parametrizations\.(\w+)\.original1?$|(\w+)_orig$|(weight)_v$")
"""The names of that from which a weight is computed."""


def renamed(given: Mapping[str, T], wanted: Collection[str], computed: bool = True) -> dict[str, T]:
    """`given` under the names of `wanted`: as they are if all fit, else without wrappers.

    First the prefix that all share comes off; then names are compared without anything that
    wrappers and, if `computed`, parametrizations and hooks put into them. What fits nothing keeps
    its name. Raises SpecError where a name could mean two parameters, or two names mean one.
    """
    names = {name: name for name in given}
    peeled = list(given)
    while peeled and not set(wanted).issuperset(peeled):
        heads = {match.group() if (match := WRAPPER.match(name)) else "" for name in peeled}
        if len(heads) > 1 or heads == {""}:
            names = _compared(given, wanted, computed)
            break
        peeled = [name.removeprefix(*heads) for name in peeled]
        names = dict(zip(given, peeled))
    return {names[name]: value for name, value in given.items()}


def _compared(given: Collection[str], wanted: Collection[str], computed: bool) -> dict[str, str]:
    known: dict[str, list[str]] = {}
    for name in wanted:
        known.setdefault(WRAPPER.sub("", name), []).append(name)
    names, taken = {}, dict[str, str]()
    for name in given:
        bare = WRAPPER.sub("", name)
        weight = COMPUTED.sub(r"\1\2\3", bare) if computed else bare
        fits = known.get(bare) or known.get(weight, [name])
        names[name] = name if name in fits else fits[0]
        if len(fits) > 1 and name not in fits:
            raise SpecError(f"{name!r} could be {' or '.join(map(repr, fits))}; give their names")
        if names[name] in taken:
            raise SpecError(
                f"{taken[names[name]]!r} and {name!r} both read as {names[name]!r}; give one"
            )
        taken[names[name]] = name
    return names
