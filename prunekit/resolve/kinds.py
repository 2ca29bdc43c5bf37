"""The kinds of components: their hooks, and what a class must be able to do to be one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from prunekit.errors import PluginError, PrunekitError
from prunekit.resolve.places import faults_of
from prunekit.resolve.sources import Source
from prunekit.spec.options import check_options

KINDS: Mapping[str, str] = {
    "scorer": "prunekit_scorers",
    "sampler": "prunekit_samplers",
    "reinit": "prunekit_reinitializers",
    "arch": "prunekit_architectures",
    "init": "prunekit_inits",
    "dataset": "prunekit_datasets",
    "engine": "prunekit_engines",
}
"""Kind of component -> the hook that offers it."""

METHODS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "scorer": (("score",), ("initial", "rank")),
    "sampler": (("sample",),),
    "reinit": (("reinit",),),
    "arch": (("build",),),
    "init": (("quantile",), ("draw",)),
    "dataset": (("load",),),
    "engine": (("work",),),
}
"""Kind of component -> the contracts it may keep, each a set of methods."""

TAKES: Mapping[str, int] = {
    "score": 3, "initial": 2, "rank": 1, "sample": 3, "reinit": 3, "build": 2, "quantile": 1,
    "draw": 2, "load": 0, "work": 1,
}  # fmt: skip
"""Method -> how many arguments it is called with."""

OBSERVERS = "prunekit_observers"
"""The hook that offers observers."""

WATCHING = ("start", "record", "finish")
"""What an observer does."""

PLURALS: Mapping[str, str] = {
    "scorer": "scorers",
    "sampler": "samplers",
    "reinit": "reinitializers",
    "arch": "architectures",
    "init": "inits",
    "dataset": "datasets",
    "engine": "engines",
}
ASIDES = {
    "arch": " A model of theirs is named like this: --arch cifar --arch.model conv6; your own "
    "network: --arch net.py:build."
}
"""What else to say where a kind has no such component."""
VARIANT = re.compile(r"[!-~]+/[!-~]+")
"""What the name of one component of several may be."""


def check_offered(source: Source, kind: str, offered: Any) -> None:
    """PluginError unless it maps names that `source` may offer to classes that are components."""
    if not isinstance(offered, Mapping):
        raise PluginError(
            f"{source}: {KINDS[kind]} gives a {type(offered).__name__}, expected a mapping of "
            "names to classes"
        )
    with faults_of(source, f": what {KINDS[kind]} gives raises", PluginError):
        for name, cls in offered.items():
            _check_component(source, kind, name, cls)


def _check_component(source: Source, kind: str, name: Any, cls: Any) -> None:
    variant = isinstance(name, str) and name.startswith(f"{source.name}/")
    if name != source.name and not (variant and VARIANT.fullmatch(name)):
        raise PluginError(
            f"{source} offers {name!r}; a plugin named {source.name!r} may offer "
            f"{source.name!r} or '{source.name}/...' only, in printable characters without spaces"
        )
    if not isinstance(cls, type) or not keeps_contract(kind, cls):
        wanted = methods_of(kind)
        raise PluginError(f"{source}: {kind} {name!r} must be a class with a method {wanted}")
    try:
        check_options(cls)
    except PrunekitError as error:
        raise PluginError(f"{source}: {kind} {name!r}: {error}") from error


def keeps_contract(kind: str, cls: type) -> bool:
    """Whether a class has the methods that a component of this kind must have."""
    return any(
        all(callable(getattr(cls, method, None)) for method in methods) for methods in METHODS[kind]
    )


def check_observers(observers: Sequence[Any], names: Sequence[str]) -> None:
    """PluginError where what the plugins of these names gave cannot watch a run."""
    for observer in observers:
        if not all(callable(getattr(observer, name, None)) for name in WATCHING):
            raise PluginError(
                f"an observer of {', '.join(names)} must have {', '.join(WATCHING)}: "
                f"{type(observer).__name__}"
            )


def check_arguments(kind: str, component: Any) -> None:
    """PluginError where a method of its contract cannot be called as it will be."""
    for name in (name for methods in METHODS[kind] for name in methods if hasattr(component, name)):
        method = getattr(component, name)
        count, cls = TAKES[name], type(component)
        if inspect.ismethod(method):
            reason = _misfit(method.__func__, count + 1)
        else:
            reason = _misfit.__wrapped__(method, count)  # anything that can be called
        if reason:
            raise PluginError(
                f"{kind} {cls.__qualname__} ({cls.__module__}): {name} is called with "
                f"{count} arguments: {reason}; see prunekit.contracts"
            )


@lru_cache(maxsize=1024)
def _misfit(function: Any, count: int) -> str:
    """Why a function cannot be called with so many arguments; "" where it can."""
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError) as error:
        return str(error) or "it cannot"
    return ""


def methods_of(kind: str) -> str:
    """The methods that a component of this kind must have, in words."""
    return " or ".join(" and ".join(map(repr, methods)) for methods in METHODS[kind])
