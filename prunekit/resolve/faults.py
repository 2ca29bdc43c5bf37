"""Whose fault an exception is: the deepest frame that is not prunekit's own tells."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import attrs

from prunekit.errors import PluginError, PrunekitError, StorageError, out_of_memory
from prunekit.resolve.kinds import KINDS, keeps_contract
from prunekit.resolve.places import Place, places_of, pressed, said
from prunekit.resolve.plugins import Plugins

P = ParamSpec("P")
R = TypeVar("R")
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
    if isinstance(error, PrunekitError):
        return error
    if isinstance(error, KeyboardInterrupt):
        own_code = True  # of one who calls the command line, such as a test
    if pressed(error):
        return None
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(f"cannot write {error.filename}: {error.strerror}; free space")
    places, plugins = list(places_of(error)), plugins or Plugins()
    owners = {place.file: owner for place in places if (owner := owner_of(place, plugins))}
    for place in reversed(places):
        owner = owners.get(place.file) or (place.file if place.foreign else None)
        if owner is not None and (place.file in owners or not own_code):
            where = f"{place.function} raises {said(error):.500} at {place}"
            return PluginError(f"{owner}: {where}; {HINT}")
        if owner is not None:
            return None
    return None


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
        return f"component {cls.__module__}:{cls.__qualname__}"
    return None
