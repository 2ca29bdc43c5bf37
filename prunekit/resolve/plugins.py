"""Find, load, name and report plugins. A plugin is imported only when somebody names it.

pluggy is the door: it checks a module's hooks and takes it in. A dict owns the names.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import pluggy

from prunekit import hookspecs
from prunekit.errors import PluginError, PrunekitError, did_you_mean, same_place
from prunekit.resolve.kinds import ASIDES, KINDS, OBSERVERS, PLURALS, check_offered
from prunekit.resolve.places import faults_of
from prunekit.resolve.sources import BUILT_IN, Source, builtin_sources, file_of, installed_sources
from prunekit.spec.options import check_options


class Plugins:
    """The plugins on offer. Loading one cannot harm another."""

    def __init__(self, sources: Iterable[Source] | None = None) -> None:
        if sources is None:
            sources = [*builtin_sources(), *installed_sources()]
        self._sources: dict[str, list[Source]] = {}
        self._modules: dict[str, ModuleType] = {}
        self._offers: dict[tuple[str, str], Mapping[str, type]] = {}
        for source in sources:
            known = self._sources.setdefault(source.name, [])
            if source not in known:  # one package seen twice on sys.path is one source
                known.append(source)

    def add(self, module: ModuleType, name: str) -> None:
        """Take in a module under `name` (tests, notebooks); PluginError when the name is taken."""
        source = Source(name, module.__name__, "this process", "0")
        _only([*self._sources.get(name, []), source])
        self._modules[name] = _checked(module, source)
        self._sources[name] = [source]
        self._offers = {key: offered for key, offered in self._offers.items() if key[0] != name}

    def names(self) -> list[str]:
        return sorted(self._sources)

    def owns(self, module: str) -> bool:
        """Whether a module is a plugin's on offer, or lies in the same package; imports none."""
        modules = {source.module for sources in self._sources.values() for source in sources}
        packages = {*modules, *(name.rpartition(".")[0] for name in modules)} - {""}
        inside = module.startswith(tuple(f"{package}." for package in packages))
        return module in modules or (inside and "__main__" not in module.split("."))

    def source(self, name: str) -> Source:
        """The source of plugin `name`; PluginError when there is none or more than one."""
        sources = self._sources.get(name)
        if not sources:
            near = did_you_mean(name, self.names()) or " `prunekit plugins` lists them."
            raise PluginError(f"no plugin is named {name!r}.{near}")
        return _only(sources)

    def owner(self, module: str) -> Source | None:
        """The source that `module` belongs to, alone or by its package; None where there is none.

        The packages of prunekit and of this process are no plugin: they hold much else.
        """
        sources = [source for known in self._sources.values() for source in known]
        top = module.partition(".")[0]
        packages = [s for s in sources if s.package != "this process" and top != BUILT_IN]
        alone = (s for s in sources if s.module == module)
        return next(alone, next((s for s in packages if s.module.partition(".")[0] == top), None))

    def load(self, name: str) -> ModuleType:
        """Import plugin `name` and check its hooks; PluginError with one line when it is broken."""
        source = self.source(name)
        if name not in self._modules:
            self._modules[name] = _checked(_imported(source), source)
        return self._modules[name]

    def hook(self, name: str, hook: str) -> Any:
        """The function by which plugin `name` answers a hook; None where it does not."""
        module = self.load(name)
        with faults_of(self.source(name), f": asking for {hook} raises"):
            return getattr(module, hook, None)

    def offers(self, name: str, kind: str) -> Mapping[str, type]:
        """What plugin `name` answers to the hook of `kind`, checked, asked once; {} for nothing."""
        if (name, kind) not in self._offers:
            self._offers[name, kind] = _answer(self, name, kind)
        return self._offers[name, kind]

    def component(self, kind: str, name: str) -> type:
        """The class of component `name`; PluginError with the nearest name when there is none."""
        plugin = name.partition("/")[0]
        offered = self.offers(plugin, kind) if plugin in self._sources else {}
        if name in offered:
            return offered[name]
        on_offer = sorted({*offered, *self.likely(kind)} - {name})
        raise PluginError(
            f"no plugin offers {name!r} among {PLURALS[kind]}.{did_you_mean(name, on_offer)} "
            f"On offer: {', '.join(on_offer) or 'none'}.{ASIDES.get(kind, '')}"
        )

    def likely(self, kind: str) -> list[str]:
        """Plugins whose file names the hook of `kind`; imports none, so quick, and a guess."""
        return [name for name in self.names() if KINDS[kind] in self._text(name)]

    def _text(self, name: str) -> str:
        if name in self._modules:
            return " ".join(vars(self._modules[name]))
        path = file_of(self._sources[name][0].module)
        return path.read_text(encoding="utf-8", errors="replace") if path else ""

    def components(self, kind: str) -> dict[str, type]:
        """Every component of `kind`; imports all plugins and leaves out the broken ones."""
        classes: dict[str, type] = {}
        for name in self.names():
            try:
                classes.update(self.offers(name, kind))
            except PrunekitError:
                continue
        return classes

    def problems(self) -> list[str]:
        """One line for each plugin that cannot be used; imports all plugins."""
        lines = []
        for name in self.names():
            try:
                for kind in KINDS:
                    self.offers(name, kind)
            except PrunekitError as error:
                lines.append(str(error))
        return lines

    def name_of(self, kind: str, cls: type) -> str:
        """The name under which `cls` is offered, or "module:Class" for one that is not."""
        for name, sources in self._sources.items():
            if any(source.module == cls.__module__ for source in sources):
                for key, offered in self.offers(name, kind).items():
                    if offered is cls:
                        return key
        return f"{cls.__module__}:{cls.__qualname__}"

    def observers(self, names: Iterable[str], spec: Any) -> list[Any]:
        """Fresh observers of the named plugins for one run."""
        watching: list[Any] = []
        for name in names:
            hook = self.hook(name, OBSERVERS)
            if hook is None:
                raise PluginError(f"{self.source(name)} offers no observers")
            watching.extend(self._watchers(name, hook, spec))
        return watching

    def _watchers(self, name: str, hook: Any, spec: Any) -> list[Any]:
        with faults_of(self.source(name), ": prunekit_observers raises", PrunekitError):
            wanted = {"spec": spec} if "spec" in inspect.signature(hook).parameters else {}
            return list(hook(**wanted))

    def clashes(self) -> list[str]:
        """One line for each name that two packages claim; imports nothing."""
        lines = []
        for name in self.names():
            try:
                self.source(name)
            except PluginError as error:
                lines.append(str(error))
        return lines


def _answer(plugins: Plugins, name: str, kind: str) -> Mapping[str, type]:
    """What a plugin answers to the hook of `kind` now."""
    hook, source = plugins.hook(name, KINDS[kind]), plugins.source(name)
    if hook is None:
        return {}
    with faults_of(source, f": {KINDS[kind]} raises"):
        offered = hook()
        offered = dict(offered) if isinstance(offered, Mapping) else offered
    check_offered(source, kind, offered)
    return dict(offered)


def _only(sources: Sequence[Source]) -> Source:
    """The one source of a name; PluginError where there are more."""
    if len(sources) > 1:
        first, second = sources[:2]
        raise PluginError(
            f"two plugins are named {first.name!r}: {first} and {second}. "
            "Uninstall one, or rename its entry point."
        )
    return sources[0]


def _imported(source: Source) -> ModuleType:
    with faults_of(source, " cannot be imported:"), same_place():
        return importlib.import_module(source.module)


def _checked(module: ModuleType, source: Source) -> ModuleType:
    """Let pluggy check the module's hooks: unknown names and foreign arguments are refused."""
    manager = pluggy.PluginManager("prunekit")
    manager.add_hookspecs(hookspecs)
    refused = (PluginError, pluggy.PluginValidationError)
    try:
        with faults_of(source, ": looking for its hooks raises", *refused):
            if manager.register(module, source.name) and not manager.get_hookcallers(module):
                raise PluginError(f"{source} implements no prunekit hook")
            manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{source}: {' '.join(str(error).split())}") from None
    return module


def imported_class(path: str) -> type:
    """The component class at "module:Class"; PluginError when there is none."""
    module, _, name = path.partition(":")
    try:
        with same_place():
            cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise PluginError(
            f"no class at {path!r}: {error}; give a plugin's name, or let PYTHONPATH name the "
            "folder of that module"
        ) from None
    if not isinstance(cls, type):
        raise PluginError(f"{path!r} is no class; give a plugin's name")
    check_options(cls)
    return cls


def source_hash(cls: type) -> str:
    """sha256 of the file that defines `cls`; "" where it has none (a notebook)."""
    path = None if cls.__module__ == "__main__" else file_of(cls.__module__)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""
