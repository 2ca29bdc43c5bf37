"""Whose fault an exception is: the deepest frame that is not prunekit's own tells."""

from __future__ import annotations

import errno
import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import attrs

from prunekit.errors import (
    NumericalError,
    PluginError,
    PrunekitError,
    SpecError,
    StorageError,
    out_of_memory,
)
from prunekit.resolve.kinds import KINDS, keeps_contract
from prunekit.resolve.places import Place, places_of, pressed, said
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.sources import BUILT_IN

P = ParamSpec("P")
R = TypeVar("R")
COMPONENT = re.compile(r"\w \(([\w.]+)\)")
"""A class and its module, as `pruning.answers.describe` gives them."""
HINT = "PRUNEKIT_DEBUG=1 shows the traceback"


def naming_faults(*, own_code: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function raise what `fault_of` says in place of what plugins and allocators raise.

    own_code: it runs code of its caller too, a model or data, whose exceptions stay as they are.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                given = kwargs.get("plugins")
                plugins = given if isinstance(given, Plugins) else None
                fault = fault_of(error, plugins, own_code=own_code)
                if fault is None or fault is error:
                    raise
                raise fault from error

        return inside

    return decorated


def fault_of(
    error: BaseException, plugins: Plugins | None = None, *, own_code: bool = False
) -> PrunekitError | None:
    """What to tell of an exception: the machine's fault, a plugin's, or itself if it is told.

    None for a fault of prunekit's, for one of the caller's `own_code`, and for Ctrl-C.
    """
    if short := out_of_memory(error):
        return short
    if isinstance(error, PluginError | NumericalError):
        return _packaged(error, plugins or Plugins())
    if isinstance(error, PrunekitError):
        return error if own_code else _placed(error, plugins or Plugins())
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(f"cannot write {error.filename}: {error.strerror}; free space")
    if pressed(error):
        return None
    place, owner = blamed(error, plugins or Plugins())
    if place is None or (owner is None and (own_code or isinstance(error, KeyboardInterrupt))):
        return None
    return PluginError(f"{owner or place.file}: {_raising(place, error)}; {HINT}")


def _packaged(error: PluginError | NumericalError, plugins: Plugins) -> PrunekitError:
    """What is told of a component's answer, with the plugin and package that it comes from."""
    for module in COMPONENT.findall(str(error)):
        source = plugins.owner(module)
        if source and source.package != "prunekit" and str(source) not in str(error):
            return type(error)(f"{error} [plugin {source.name!r}, {source}]")
    return error


def _placed(error: PrunekitError, plugins: Plugins) -> PrunekitError:
    """The refusal, with its place where it tells what a third party's code or a file raised."""
    cause: BaseException | None = error.__cause__ or error.__context__
    while isinstance(cause, PrunekitError):
        cause = cause.__cause__ or cause.__context__
    if type(error) is not SpecError or cause is None:
        return error
    place, owner = blamed(cause, plugins)
    if place is None or owner is None or place.module.partition(".")[0] == BUILT_IN:
        return error
    if str(place) in str(error):
        return error
    return SpecError(f"{error} [{owner}: {_raising(place, cause)}]")


def _raising(place: Place, error: BaseException) -> str:
    return f"{place.function} raises {said(error):.500} at {place}"


def blamed(error: BaseException, plugins: Plugins) -> tuple[Place | None, str | None]:
    """The deepest place of other people's code, and the plugin or the like that it belongs to."""
    places = list(places_of(error))
    owners = {place.file: owner for place in places if (owner := owner_of(place, plugins))}
    for place in reversed(places):
        if place.file in owners or place.foreign:
            return place, owners.get(place.file)
    return None, None


def owner_of(place: Place, plugins: Plugins) -> str | None:
    """The plugin, architecture or component that a place belongs to; None for other code."""
    if place.module.partition(".")[0] == "prunekit":
        return None
    if (source := plugins.owner(place.module)) is not None:
        return f"plugin {source.name!r}, {source}"
    if place.module == "<run_path>":
        return f"architecture {place.file}"
    cls = place.cls
    if cls is not None and attrs.has(cls) and any(keeps_contract(kind, cls) for kind in KINDS):
        return f"component {cls.__qualname__} ({cls.__module__})"
    return None
