"""Code that a run folder names and that no plugin installed: it runs when the user says so.

He says so by naming it: in the run that made the folder, which is remembered, or now; or by
`trust`. Until then none of it is imported. What is executed are the bytes that were looked at.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.machinery import SOURCE_SUFFIXES, ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import PluginError, SpecError
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.sources import files_of
from prunekit.resolve.structure import checked_component, component_table, is_file_name, structure
from prunekit.spec.sections import COMPONENTS, Spec, override
from prunekit.storage import remembered
from prunekit.storage.files import status_of
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.texts import read_toml

FILE = ""
Files = Mapping[str, tuple[Path, bytes]]
"""Module -> its file and what is in it; the file of an architecture stands under `FILE`."""


@attrs.frozen
class Code:
    """What the name of a component executes; of a module its parents come first."""

    kind: str
    name: str
    files: Files

    def is_remembered(self) -> bool:
        """Whether the user has named all of it in a run of his own, as it is now."""
        files = self.files.values()
        return bool(files) and all(remembered.is_remembered(*_key(*file)) for file in files)

    def was_named(self) -> bool:
        """Whether the user has named all of it once, whatever it has become."""
        files = self.files.values()
        return bool(files) and all(remembered.was_named(path.resolve()) for path, _ in files)

    def __str__(self) -> str:
        where = [str(path) for path, _ in self.files.values()] or ["not to be found"]
        return f"the {self.kind} {self.name!r} ({where[-1]})"


def _key(path: Path, content: bytes) -> tuple[Path, bytes]:
    return path.resolve(), content


def trusted_spec(
    folder: RunFolder,
    plugins: Plugins,
    *,
    trust: bool = False,
    arch: Any = None,
    allow_changed: bool = False,
) -> Spec:
    """The resolved table of a run folder as a Spec; no code of its own runs but what is allowed.

    A file's content is pinned: what was looked at is what `build` executes. trust: all of it is
    allowed. arch: the architecture's name, or the object, given again: it is allowed, whatever it
    has become. allow_changed: files that the user has named are allowed though they have changed.
    Raises PluginError, saying how to allow it, for code that is not; SpecError where `arch` is
    another than the run's.
    """
    table = read_toml(folder.held(folder.spec))
    if arch is not None:
        _put_arch(table, arch, folder, plugins)
    codes = named_code(table, plugins, folder.path)
    asked = [
        code
        for code in codes
        if not (trust or (code.kind == "arch" and arch is not None))
        and not code.is_remembered()
        and not (allow_changed and code.was_named())
    ]
    if asked:
        again = f"--arch {asked[0].name} or " if [code.kind for code in asked] == ["arch"] else ""
        raise _refusal(folder.path, asked, again)
    with exactly(codes):
        spec = structure(table, plugins)
    if isinstance(spec.arch, FileArchitecture):
        (_, content), *_ = (code.files[FILE] for code in codes if code.kind == "arch")
        content = arch.content if isinstance(arch, FileArchitecture) else content
        spec = attrs.evolve(spec, arch=attrs.evolve(spec.arch, content=content))
    return spec


def _put_arch(table: dict[str, Any], arch: Any, folder: RunFolder, plugins: Plugins) -> None:
    """Let `arch` be the architecture of `table`; SpecError where it is another than that."""
    recorded = table.get("arch")
    before = dict(recorded) if isinstance(recorded, Mapping) else {"name": recorded}
    by_name = isinstance(arch, str | Mapping | FileArchitecture)
    if isinstance(arch, str):
        now: dict[str, Any] = {"name": arch}
    elif isinstance(arch, Mapping):
        now = {key: list(v) if isinstance(v, tuple) else v for key, v in arch.items()}
    else:
        now = component_table("arch", checked_component("arch", arch), plugins)
    given = now.pop("name", None)
    others = {key: value for key, value in now.items() if before.get(key) != value}
    if others or not _is_same(given, before["name"], folder):
        shown = " ".join([f"{given!r}", *(f"{key}={value!r}" for key, value in others.items())])
        was = " ".join([f"{before['name']!r}", *(f"{key}={before.get(key)!r}" for key in others)])
        raise SpecError(
            f"{folder.path} is a run of the arch {was}, not of {shown}; name that one, or run anew"
        )
    table["arch"] = {**before, "name": given} if by_name else arch


def _is_same(given: Any, recorded: Any, folder: RunFolder) -> bool:
    """Whether both name one architecture: one function of one file, or of the content recorded."""
    if given == recorded or not isinstance(given, str) or not isinstance(recorded, str):
        return bool(given == recorded)
    if not is_file_name("arch", given) or not is_file_name("arch", recorded):
        return False
    one, other = (FileArchitecture(_located(name, folder.path)) for name in (given, recorded))
    if given.rpartition(":")[2] != recorded.rpartition(":")[2]:
        return False
    if os.path.realpath(one.path) == os.path.realpath(other.path):
        return True
    if status_of(folder.components) is None:
        return False
    return bool(folder.read_components().get("arch", {}).get("sha256") == one.sha256())


def named_code(table: dict[str, Any], plugins: Plugins, folder: Path) -> list[Code]:
    """All code outside installed plugins that a spec names; imports none of it.

    A relative file is looked for where the user is, then in `folder`; `table` gets its full path.
    """
    codes = []
    for kind in COMPONENTS:
        value = table.get(kind)
        name = value.get("name") if isinstance(value, Mapping) else value
        if not isinstance(name, str) or ":" not in name:
            continue
        if is_file_name(kind, name):
            arch = FileArchitecture(_located(name, folder)).read()
            override(table, f"{kind}.name", arch.source)
            codes.append(Code(kind, name, {FILE: (arch.path, arch.content)}))
        elif not plugins.owns(module := name.partition(":")[0]):
            files = _contents(module)
            if module != "__main__" and (files or module not in sys.modules):
                codes.append(Code(kind, name, files))  # the others are this very program
    return codes


def _located(source: str, folder: Path) -> str:
    path, _, function = source.rpartition(":")
    places = [Path(path).absolute(), (folder / path).absolute()]
    with contextlib.suppress(OSError, ValueError):
        places = [place for place in places if place.exists()] or places
    return f"{places[0]}:{function}"


def _contents(module: str) -> Files:
    try:
        return {name: (path, path.read_bytes()) for name, path in files_of(module).items()}
    except OSError as error:
        raise SpecError(f"cannot read {error.filename}: {error.strerror}") from None


def require_remembered(codes: Sequence[Code], folder: Path) -> None:
    """PluginError for code that a folder names and the user has not, as it is now."""
    if asked := [code for code in codes if not code.is_remembered()]:
        raise _refusal(folder, asked)


def _refusal(folder: Path, asked: Sequence[Code], again: str = "") -> PluginError:
    """What would have been executed, why it was not, and how to allow it."""
    what = " and ".join(map(str, asked))
    names = " and ".join(f"the {code.kind} {code.name!r}" for code in asked)
    how = f"{again}--trust (in Python trust=True)"
    if all(code.was_named() for code in asked):
        return PluginError(
            f"{names} has changed since you ran it, and nothing of it was executed; restore it, or "
            f"let it run as it is now by {how}"
        )
    lost = "; your own runs could not be remembered, since no state folder can be written: set "
    why = f"{lost}XDG_STATE_HOME" if remembered.cannot_remember() else ""
    return PluginError(
        f"{folder} names code of its own, {what}, which was not executed; read it, then let "
        f"it run by {how}{why}"
    )


def is_outside(component: Any, plugins: Plugins) -> bool:
    """Whether the code of a component is no installed plugin's."""
    return not plugins.owns(type(component).__module__)


def outside(spec: Spec, kinds: Iterable[str], plugins: Plugins) -> list[str]:
    """Those of `kinds` whose code is no installed plugin's."""
    return [kind for kind in kinds if is_outside(getattr(spec, kind), plugins)]


def remember_named(spec: Spec) -> None:
    """Note the code outside installed plugins that the user named in a run of his own."""
    installed = Plugins()  # what he added in this process alone is not there next time
    for kind in COMPONENTS:
        component = getattr(spec, kind)
        if isinstance(component, FileArchitecture):
            remembered.remember(*_key(component.path, component.content))
        elif is_outside(component, installed):
            for path, content in _contents(type(component).__module__).values():
                remembered.remember(*_key(path, content))


class _Exact(SourceFileLoader):
    """Loads a module from bytes that were read before, whatever became of file and cache."""

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self.content = content

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.content, self.path)


@attrs.frozen
class _Finder:
    """Finds the modules whose source is in memory."""

    files: Files

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in self.files or self.files[name][0].suffix not in SOURCE_SUFFIXES:
            return None
        file, content = self.files[name]
        inner = [str(file.parent)] if file.stem == "__init__" else None
        loader = _Exact(name, str(file), content)
        return spec_from_file_location(name, file, loader=loader, submodule_search_locations=inner)


@contextlib.contextmanager
def exactly(codes: Sequence[Code]) -> Iterator[None]:
    """Inside, an import of these modules executes the bytes that were looked at, no cached ones."""
    finder: Any = _Finder({name: file for code in codes for name, file in code.files.items()})
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
