"""Where a run comes from: its components and the environment, and whether they have changed."""

from __future__ import annotations

import hashlib
import platform
import re
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from prunekit.contracts import same_bits_as
from prunekit.data.splits import Data
from prunekit.errors import DataError, PluginError, warn
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.plugins import Plugins, source_hash
from prunekit.spec.sections import COMPONENTS, Spec
from prunekit.storage.contents import NAMED, sha256_of
from prunekit.storage.runfolder import RunFolder

BAD_FILES = 20
"""Bad files that a run folder names."""


def new_folder(spec: Spec, plugins: Plugins) -> Path:
    """runs/<date>-<time>-<architecture>-<scorer>-<sampler>-<seed>, with a number if taken."""
    names = [
        _short_name(kind, getattr(spec, kind), plugins) for kind in ("arch", "scorer", "sampler")
    ]
    stem = "-".join([time.strftime("%Y%m%d-%H%M%S"), *names, f"seed{spec.seed}"])
    path, number = Path("runs") / stem, 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{stem}-{number}"
    return path


def _short_name(kind: str, component: Any, plugins: Plugins) -> str:
    """A component in a folder's name: its model where it has one, else its own name."""
    if isinstance(component, FileArchitecture):
        return Path(component.source.partition(".py:")[0]).name
    name = plugins.name_of(kind, type(component))
    return re.sub(r"[^\w.-]", "_", getattr(component, "model", None) or name)


def components(spec: Spec, plugins: Plugins) -> dict[str, Any]:
    """Name, package, version and source sha256 of each component, and the environment."""
    record: dict[str, Any] = {}
    for kind in COMPONENTS:
        cls = type(getattr(spec, kind))
        name = plugins.name_of(kind, cls) if cls is not FileArchitecture else spec.arch.source
        record[kind] = {"name": name, **_package(name, cls, plugins)}
    if isinstance(spec.arch, FileArchitecture):
        record["arch"]["sha256"] = spec.arch.sha256()
    record["environment"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
    }
    return record


def recorded(spec: Spec, plugins: Plugins, data: Data, device: torch.device) -> dict[str, Any]:
    """What a run folder records of where the run comes from: components.json."""
    record = components(spec, plugins) | _named_files(spec) | left_out(data)
    cuda = device.type == "cuda"
    record["environment"]["device"] = torch.cuda.get_device_name(device) if cuda else device.type
    return record


def _named_files(spec: Spec) -> dict[str, Any]:
    paths = zip(NAMED, (spec.weights, spec.prune.masks))
    return {key: {"sha256": sha256_of(key, path)} for key, path in paths if path is not None}


def _package(name: str, cls: type, plugins: Plugins) -> dict[str, str]:
    """Package, version and source sha256 of a component's class."""
    plugin = name.partition("/")[0]
    source = plugins.source(plugin) if plugin in plugins.names() else None
    return {
        "package": source.package if source else cls.__module__,
        "version": source.version if source else "",
        "sha256": source_hash(cls),
    }


def left_out(data: Data) -> dict[str, Any]:
    """The bad files that a run leaves out, as a run folder records them; {} where there are none.

    What no terminal shows in a name is escaped.
    """
    names = [str(DataError(name)) for name in data.bad_files]
    return {"bad_files": _brief(names)} if names else {}


def _brief(names: Sequence[str]) -> dict[str, Any]:
    """So many names, the sha256 over all of them, one a line, and the first few."""
    whole = hashlib.sha256("\n".join(names).encode()).hexdigest()
    return {"count": len(names), "sha256": whole, "first": [*names[:BAD_FILES]]}


def refuse_other_files(recorded: Mapping[str, Any], data: Data, allow_changed: bool) -> None:
    """DataError when other files are left out than at the start; a warning where that is allowed.

    A record of prunekit 0.2.0 or before may hold all the names.
    """
    before, now = recorded.get("bad_files", []), left_out(data).get("bad_files", _brief(()))
    before = _brief(before) if isinstance(before, list) else before
    if before == now:
        return
    changed = sorted({*before["first"]} ^ {*now["first"]}) or [f"none of the first {BAD_FILES}"]
    line = (
        "the files that data.skip_bad leaves out are others than at the start of the run "
        f"({before['count']} then, {now['count']} now): {changed[0]}"
    )
    if not allow_changed:
        cure = "restore the data, or pass --allow-changed and give up the same bits"
        raise DataError(f"{line}; {cure}")
    warn(f"{line}; going on with these, as --allow-changed allows")


def refuse_changed(
    recorded: Mapping[str, Any], spec: Spec, plugins: Plugins, but_for: Collection[str] = ()
) -> dict[str, Any]:
    """PluginError when a component is not the one the run was started with.

    but_for: the kinds that may have changed. Returns what to record of those that have, by kind.
    """
    now, changed = components(spec, plugins), dict[str, Any]()
    for kind in COMPONENTS:
        before = recorded.get(kind, {})
        if before.get("sha256") in (now[kind]["sha256"], *same_bits_as(getattr(spec, kind))):
            continue
        if kind not in but_for:
            raise PluginError(
                f"the {kind} {now[kind]['name']!r} has changed since the run was started "
                f"({before.get('package')} {before.get('version')}); restore it, or pass "
                "--allow-changed and give up the same bits"
            )
        changed[kind] = now[kind]
    return changed


def refuse_other_code(
    folder: RunFolder, spec: Spec, plugins: Plugins, kinds: Collection[str]
) -> None:
    """PluginError when one of these kinds is no longer what a finished run was made with."""
    before, now = folder.read_components(), components(spec, plugins)
    for kind in kinds:
        if before.get(kind, {}).get("sha256") != now[kind]["sha256"]:
            raise PluginError(
                f"the {kind} {now[kind]['name']!r} is not the code that {folder.path} was made "
                "with; restore it, or let it run as it is now by --trust (in Python trust=True)"
            )
