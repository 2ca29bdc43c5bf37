"""Where the trials of a sweep lie, which are there already, and what has become of each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import attrs

from prunekit.contracts import same_bits_as
from prunekit.errors import PluginError, PrunekitError, SpecError
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins, source_hash
from prunekit.resolve.structure import to_toml, unstructure
from prunekit.runs.trust import trusted_spec
from prunekit.spec.sections import COMPONENTS, Spec
from prunekit.storage.contents import NAMED
from prunekit.storage.files import status_of
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.texts import MOST_SPEC, parse_toml, read_json, read_regular
from prunekit.sweeps.identity import Contents, facts, identity
from prunekit.sweeps.trials import LETTERS, Trial

State = Literal["done", "failed", "begun", "new"]
STATES: tuple[State, ...] = ("done", "failed", "begun", "new")
PLACE = re.compile(rf"(?:[^/]+-([0-9a-f]{{{LETTERS}}})/)?seed-(\d+)")


@attrs.frozen
class Place:
    """The run folder of a trial, and the files beside it."""

    folder: Path

    @property
    def log(self) -> Path:
        """What the trial has printed, over all its attempts."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def failure(self) -> Path:
        """Why the trial failed; there is none of one that did not."""
        return self.folder.with_name(f"{self.folder.name}.failed.json")

    @property
    def is_done(self) -> bool:
        return os.path.lexists(RunFolder(self.folder).summary)

    @property
    def state(self) -> State:
        if self.is_done:
            return "done"
        if os.path.lexists(self.failure):
            return "failed"
        return "begun" if RunFolder(self.folder).holds_run() else "new"

    def read_failure(self) -> dict[str, Any]:
        """Exit code, reason and number of attempts; {} where it did not fail, or none is told."""
        if not os.path.lexists(self.failure):
            return {}
        found = read_json(self.failure)
        return dict(found) if isinstance(found, Mapping) else {}

    def write_failure(self, code: int, reason: str) -> None:
        attempts = self.read_failure().get("attempts", 0)
        record = {"code": code, "reason": reason, "attempts": attempts + 1}
        self.failure.parent.mkdir(parents=True, exist_ok=True)
        RunFolder(self.folder).write_json(self.failure, record)


def placed(
    trials: Sequence[Trial], out: Path, plugins: Plugins
) -> tuple[tuple[Trial, ...], tuple[str, ...]]:
    """The trials, each with the folder that it has already; and the folders of no trial.

    A run is found by the id in its folder's name, and by its spec, resolved anew. Raises SpecError
    where a trial's folder is taken by something else.
    """
    if RunFolder(out).holds_run():
        raise SpecError(f"{out} holds a run, and a sweep makes several; choose another --out")
    by_name = {(trial.cell_id[:LETTERS], trial.seed): trial for trial in trials}
    by_place = {trial.folder: trial for trial in trials}
    own: dict[str, str] = {}
    strange = []
    for place in sorted(run_folders(out), key=lambda place: place not in by_place):
        found = PLACE.fullmatch(place)
        name = (found[1], int(found[2])) if found and found[1] else None
        trial = by_name.get(name) if name else by_place.get(place)
        if trial and trial.id not in own and is_of(out / place, trial.spec, trial.id, plugins):
            own[trial.id] = place
        else:
            strange.append(place)
    orphaned = []
    known = {trial.id for trial in trials}
    for place in strange:
        trial_id = id_of(out / place, plugins)
        if trial_id in known and trial_id not in own:
            own[trial_id] = place
        else:
            orphaned.append(place)
    moved = tuple(attrs.evolve(trial, folder=own.get(trial.id, trial.folder)) for trial in trials)
    for trial in moved:
        _require_free(out, trial, trial.id in own, orphaned, plugins)
    return moved, tuple(sorted(orphaned))


def run_folders(out: Path) -> Iterator[str]:
    """The run folders of a sweep, by their place in it with "/"."""
    for cell in _folders(out):
        if PLACE.fullmatch(cell):
            yield from [cell] if RunFolder(out / cell).holds_run() else []
            continue
        for seed in _folders(out / cell):
            place = f"{cell}/{seed}"
            if PLACE.fullmatch(place) and RunFolder(out / place).holds_run():
                yield place


def _folders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def is_of(folder: Path, spec: Spec, spec_id: str, plugins: Plugins) -> bool:
    """Whether a folder holds a run of this resolved spec: in its words, or resolved anew.

    A network in a file may lie elsewhere now.
    """
    run, arch = RunFolder(folder), spec.arch
    if not has_words(run, spec, plugins):
        return id_of(folder, plugins) == spec_id
    contents, before = Contents(), recorded_files(run)
    now = {key: contents.of(key, path) for key, path in files_of(spec).items()}
    if isinstance(arch, FileArchitecture):
        now["arch"] = arch.sha256()
    return all(before.get(key, sha256) == sha256 for key, sha256 in now.items())


def files_of(spec: Spec) -> dict[str, str]:
    """The paths that a spec names whose content counts, by key."""
    found = {"weights": spec.weights, "prune.masks": spec.prune.masks}
    return {key: path for key, path in found.items() if path is not None}


def has_words(run: RunFolder, spec: Spec, plugins: Plugins) -> bool:
    """Whether the spec of a run is this one, but for the place of a file that is its network."""
    try:
        text = read_regular(run.held(run.spec), MOST_SPEC)
        if text == to_toml(spec, plugins).encode():
            return True
        if not isinstance(spec.arch, FileArchitecture):
            return False
        return _placeless(parse_toml(text)) == _placeless(unstructure(spec, plugins))
    except (OSError, ValueError, PrunekitError):
        return False


def _placeless(table: dict[str, Any]) -> dict[str, Any]:
    """The table of a spec, with the function's name alone for a network in a file."""
    arch = table.get("arch")
    name = arch.get("name") if isinstance(arch, Mapping) else arch
    return {**table, "arch": str(name).rpartition(":")[2]}


def id_of(folder: Path, plugins: Plugins) -> str | None:
    """The id of what a run folder holds, by its spec resolved now; None where that cannot be told.

    No code of its own is executed that the user has not named in a run of his.
    """
    run = RunFolder(folder)
    try:
        spec = resolve(trusted_spec(run, plugins), plugins).spec
        files = recorded_files(run)
        if not files_of(spec).keys() <= files.keys():
            return None  # of an older prunekit: what lay in the files then, nobody knows
        return identity(facts(spec, plugins, Contents(), files), spec.seed)
    except PrunekitError:
        return None


def changed_code(run: RunFolder, spec: Spec, hashes: dict[type, str]) -> list[str]:
    """The kinds whose code is another now than that which a run was made with.

    hashes: sha256 of the files of classes that are known already; those met are added.
    """
    if status_of(run.components) is None:
        return []
    record, changed = run.read_components(), []
    for kind in COMPONENTS:
        component, before = getattr(spec, kind), record.get(kind, {}).get("sha256")
        cls = type(component)
        if cls not in hashes:
            hashes[cls] = source_hash(cls)
        counts_by_content = isinstance(component, FileArchitecture)
        if not counts_by_content and before not in (hashes[cls], *same_bits_as(component)):
            changed.append(kind)
    return changed


def recorded_files(run: RunFolder) -> dict[str, str]:
    """sha256 of the files that a run began with, by key of its spec, so far as it is recorded."""
    if status_of(run.components) is None:
        return {}
    record = run.read_components()
    found = {key: record.get(key, {}).get("sha256") for key in ("arch", *NAMED)}
    return {key: sha256 for key, sha256 in found.items() if isinstance(sha256, str)}


def _require_free(
    out: Path, trial: Trial, own: bool, orphaned: Sequence[str], plugins: Plugins
) -> None:
    """SpecError where the folder of a trial is taken by what is none of its runs."""
    folder = out / trial.folder
    if own or status_of(folder) is None:
        return
    if trial.folder in orphaned:
        refuse_other(folder, trial.spec, plugins)
    RunFolder(folder).require_empty()


def refuse_other(folder: Path, spec: Spec, plugins: Plugins) -> NoReturn:
    """SpecError: a folder holds a run of another spec, or PluginError: of another file."""
    if isinstance(spec.arch, FileArchitecture) and has_words(RunFolder(folder), spec, plugins):
        raise PluginError(
            f"the arch {spec.arch.source!r} has changed since the run was started in {folder}; "
            "restore it, or choose another --out"
        )
    whose = " or of other contents of its files" if files_of(spec) else ""
    raise SpecError(f"{folder} holds a run of another spec{whose}; choose another --out")
