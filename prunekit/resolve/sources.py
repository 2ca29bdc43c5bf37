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

from prunekit.errors import PluginError, warn

BUILT_IN = "prunekit_plugins"
"""The package of the plugins that come with prunekit, a plugin in each file."""

PathState = tuple[tuple[str, int, int], ...]
MALFORMED = (ValueError, TypeError, AttributeError, KeyError, OSError, ImportError, RecursionError)
"""What importlib.metadata raises for metadata that nobody can read."""


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
    version = version_of("prunekit")
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


def version_of(package: str) -> str:
    """The version of an installed package; "0+checkout" where it is not installed."""
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
    first: dict[str, list[Source]] = {}
    for package in importlib.metadata.distributions():
        for name, sources in _offered(package).items():
            first.setdefault(name, sources)
    return tuple(source for sources in first.values() for source in sources)


def _offered(package: importlib.metadata.Distribution) -> dict[str, list[Source]]:
    """What one package offers, by its name; nothing, and a warning, where it is damaged."""
    try:
        entries = [entry for entry in package.entry_points if entry.group == "prunekit"]
        if not entries or not _is_first(package):
            return {}
        name, version = str(package.metadata["Name"]), str(package.metadata["Version"] or "")
        return {name: [Source(entry.name, entry.module, name, version) for entry in entries]}
    except MALFORMED as error:
        place = Path(str(getattr(package, "_path", "a package")))  # its name may be damaged too
        warn(
            f"the metadata of {place.name} cannot be read ({type(error).__name__}: {error}); its "
            "plugins are left out: install it again, or remove it"
        )
        return {}


def _is_first(package: importlib.metadata.Distribution) -> bool:
    """Whether its entry points are those of the package of its name that Python finds first."""
    first = importlib.metadata.distribution(package.metadata["Name"])
    return first.read_text("entry_points.txt") == package.read_text("entry_points.txt")


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
    return files_of(module).get(module)


def files_of(module: str) -> dict[str, Path]:
    """Dotted name -> file of what an import of a module executes: its parents first, itself last.

    They are found without importing any; {} where the module itself has no file.
    """
    top, *below = module.split(".")
    try:
        specs = [importlib.util.find_spec(top)]  # by any finder: editable installs have theirs
        for part in below:
            parent = specs[-1]
            if parent is None:
                return {}
            name = f"{parent.name}.{part}"
            specs.append(PathFinder.find_spec(name, parent.submodule_search_locations))
    except (ValueError, ImportError, KeyError):  # no spec (__main__), no name, a bare namespace
        return {}
    found = {spec.name: Path(spec.origin) for spec in specs if spec and spec.origin}
    files = {name: path for name, path in found.items() if path.is_file()}
    return files if module in files else {}
