"""Whose fault an exception is: the deepest frame that is not prunekit's own tells."""

from __future__ import annotations

import errno
import functools
import os
import re
import traceback
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

    What no plugin, architecture or component raised stays as it is: a signal handler's exception,
    a callback's. own_code: it runs code of its caller too, a model or data.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                given = kwargs.get("plugins")
                plugins = given if isinstance(given, Plugins) else None
                fault = fault_of(error, plugins, own_code=own_code, told=False)
                if fault is None or fault is error:
                    raise
                raise fault from error

        return inside

    return decorated


def ended(error: BaseException) -> tuple[int, str]:
    """Exit code and line of what ended a command or a trial; the traceback with PRUNEKIT_DEBUG.

    Raises what is an exit of the program's own: argparse's, that of a signal's handler.
    """
    fault = fault_of(error)
    if fault is None and not isinstance(error, Exception | KeyboardInterrupt):
        raise error
    if os.environ.get("PRUNEKIT_DEBUG", "0") not in ("", "0"):
        error.__suppress_context__ = False
        traceback.print_exception(error)
    if fault is not None:
        return fault.exit_code, str(fault)
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted"
    *_, place = places_of(error)
    line = PrunekitError(f"{said(error):.500} at {place}; please report it; {HINT}")
    return 1, f"a fault of its own: {line}"


def fault_of(
    error: BaseException,
    plugins: Plugins | None = None,
    *,
    own_code: bool = False,
    told: bool = True,
) -> PrunekitError | None:
    """What to tell of an exception: the machine's fault, a plugin's, or itself if it is told.

    told: it ends a command, so code that belongs to nobody known is named too. None for a fault of
    prunekit's, for one of the caller's, and for Ctrl-C.
    """
    if short := out_of_memory(error):
        return short
    if isinstance(error, PluginError | NumericalError):
        return _packaged(error, plugins or Plugins())
    if isinstance(error, PrunekitError):
        return error if own_code else _placed(error, plugins or Plugins())
    if pressed(error):
        return None
    place, owner = blamed(error, plugins or Plugins(), own_code=own_code)
    stays = owner is None and (not told or isinstance(error, KeyboardInterrupt))
    if place is not None and stays:
        return None
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _no_space(error, place, owner)
    if place is None:
        return None
    return PluginError(f"{owner or place.file}: {_raising(place, error)}; {HINT}")


def _no_space(error: OSError, place: Place | None, owner: str | None) -> StorageError:
    """A full disk, by the file where that is known, and by whose code wrote."""
    what = f" {error.filename}" if error.filename is not None else ""
    whose = f"{owner or place.file}: " if place else ""
    last = place or next(reversed([*places_of(error)]), None)
    where = f" (at {last})" if last and (place or not what) else ""
    return StorageError(f"{whose}cannot write{what}: {error.strerror}{where}; free space")


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


def blamed(
    error: BaseException, plugins: Plugins, *, own_code: bool = False
) -> tuple[Place | None, str | None]:
    """The deepest place of other people's code, and the plugin or the like that it belongs to.

    own_code: below a plugin's place, the model or data set of an installed library is the caller's.
    """
    places = list(places_of(error))
    owners = {place.file: owner for place in places if (owner := owner_of(place, plugins))}
    for place in reversed(places):
        theirs = place.file in owners or place.foreign or place.handles_signal
        if theirs or (own_code and place.is_network_or_data):
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
