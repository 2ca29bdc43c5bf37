"""Where plugins come from: files of `prunekit_plugins`, entry points of others. Imports none."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path

import attrs

from prunekit.errors import PluginError

BUILT_IN = "prunekit_plugins"
"""The package of the plugins that come with prunekit, a plugin in each file."""

PathState = tuple[tuple[str, int, int], ...]


@attrs.frozen
class Source:
    """Where a plugin comes from: its name, module, and the package that ships it."""

    name: str
    module: str
    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.module} (from {self.package} {self.version})"


def builtin_sources() -> list[Source]:
    """One source for each file of `prunekit_plugins`; imports none of them."""
    folder = _builtin_folder()
    version = _version("prunekit")
    names = sorted(module.name for module in pkgutil.iter_modules([str(folder)]))
    return [
        Source(name.replace("_", "-"), f"{BUILT_IN}.{name}", "prunekit", version) for name in names
    ]


def _builtin_folder() -> Path:
    """The folder of the built-in plugins; a bare checkout has it beside the core."""
    spec = importlib.util.find_spec(BUILT_IN)
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(f"the package {BUILT_IN} is missing; install prunekit again")
    return Path(spec.submodule_search_locations[0])


def _version(package: str) -> str:
    return _version_on(package, _path_now())


@lru_cache(maxsize=1)
def _version_on(package: str, path: PathState) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "0+checkout"


def installed_sources() -> list[Source]:
    """Third parties' sources: the entry points of group "prunekit"; imports none of them.

    They are read again when `sys.path` or a folder on it has changed.
    """
    return list(_installed_on(_path_now()))


@lru_cache(maxsize=1)
def _installed_on(path: PathState) -> tuple[Source, ...]:
    return tuple(
        Source(entry.name, entry.module, entry.dist.name, entry.dist.version)
        for entry in importlib.metadata.entry_points(group="prunekit")
        if entry.dist is not None
    )


def _path_now() -> PathState:
    """The places of `sys.path`, each with its inode and the time (ns) of its last change."""
    return tuple((place, *_state(place)) for place in sys.path)


def _state(place: str) -> tuple[int, int]:
    try:
        found = os.stat(place or os.curdir)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def file_of(module: str) -> Path | None:
    """The file of a module, found without importing it or its parents; None when there is none."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)  # by every finder: editable installs bring their own
    except ValueError:  # __main__ and other modules without a spec
        return None
    name = top
    for part in below:
        if spec is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    origin = spec.origin if spec else None
    return Path(origin) if origin and Path(origin).is_file() else None
