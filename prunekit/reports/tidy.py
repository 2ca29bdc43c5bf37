"""Runs as rows, whoever made them: a sweep's, those of seeds, or single folders.

A row is one trial: what varied, what came out, and how far it is. Read are `sweep.json` and the
run folders, nothing else; no code that they name is looked up. Imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from prunekit.errors import PrunekitError, StorageError, printable
from prunekit.reports.reading import shown_spec
from prunekit.reports.varied import varied
from prunekit.storage.lock import FolderLock
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.shapes import FAILED, SWEEP, checked

RunState = Literal["done", "running", "failed", "begun", "new"]
"""new: nothing is there yet; begun: stopped on the way, and can go on."""
STUDY = "sweep.json"
FAILURE = ".failed.json"
"""After a run folder's name: the file beside it that says why the trial failed."""
TOLD = ("id", "seed", "cell", "published")
DEEPEST = 3
"""Folders below a given one in which runs are looked for: method/density/seed-0."""


Trial = tuple[Path, dict[str, Any]]
"""A run folder, and the fields of its row that the folder does not tell."""


@attrs.frozen
class Row:
    """One trial.

    sweep: the sweep's name; "" for run folders that no sweep made. folder: the run folder. id: the
    trial's; "" outside of sweeps. code, reason: of a failed one, its exit code and last line.
    cell: key -> value of what varied, the seed left out: the axes of the sweep, or the keys in
    which the specs of single folders differ. metrics: the numbers of summary.json by name; of a
    list of names there, their count. published: the source, metric, mean, std, n of a paper, as
    far as known. threads: of torch; None = not recorded. device: "" = not recorded. warm: whether
    a process that had run before took all of its `seconds`; None = not recorded.
    """

    sweep: str
    folder: Path
    id: str
    seed: int
    state: RunState
    cell: Mapping[str, Any]
    metrics: Mapping[str, float]
    published: Mapping[str, Any]
    code: int | None = None
    reason: str = ""
    threads: int | None = None
    device: str = ""
    warm: bool | None = None


def rows(folders: Sequence[str | Path]) -> list[Row]:
    """The trials of sweeps and run folders, in the order given, each folder once.

    Rows of several sweeps have the key "sweep" in their cells; a sweep without axes, as `--seeds`
    makes it, is so many run folders. SpecError for a folder that holds neither sweep nor run,
    StorageError for a sweep.json that is damaged. A run whose files are damaged is a failed one,
    with what is wrong as its reason.
    """
    parts: list[list[Row]] = []
    single: list[Trial] = []
    for folder in map(Path, folders):
        studies, runs = found_in(folder)
        for study in studies:
            trials, several = _trials(study)
            parts += [[read_trial(*trial) for trial in trials]] if several else []
            single += [] if several else trials
        single += [(run, {}) for run in runs]
    parts += [_of_folders(single)] if single else []
    if len(parts) > 1:
        parts = [[attrs.evolve(r, cell={"sweep": r.sweep, **r.cell}) for r in p] for p in parts]
    return list({os.path.realpath(row.folder): row for part in parts for row in part}.values())


def found_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """The sweeps at or below a folder, and the run folders there that are of none of them."""
    if os.path.lexists(folder / STUDY):
        return [folder], []
    if RunFolder(folder).holds_run():
        return [], [folder]
    studies = sorted(path.parent for path in _below(folder, STUDY))
    runs = [run for run in runs_below(folder) if not any(map(run.is_relative_to, studies))]
    if not studies and not runs:
        RunFolder(folder).require_run()
    return studies, runs


def _below(folder: Path, name: str) -> list[Path]:
    return [p for depth in range(1, DEEPEST + 1) for p in folder.glob("*/" * depth + name)]


def runs_below(folder: Path) -> list[Path]:
    """The run folders below a folder, those too of which only a failure is left."""
    begun = {path.parent for path in _below(folder, "spec.toml")}
    failed = [*folder.glob(f"*{FAILURE}"), *_below(folder, f"*{FAILURE}")]
    begun |= {path.with_name(path.name.removesuffix(FAILURE)) for path in failed}
    return sorted(begun, key=_numbers_as_such)


def _numbers_as_such(path: Path) -> list[tuple[int, int, str]]:
    """A key to sort by: seed-2 comes before seed-10."""
    pieces = (piece for part in path.parts for piece in part.replace("-", "\0-\0").split("\0"))
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces]


def read_sweep(folder: Path) -> dict[str, Any]:
    """The contents of a sweep's sweep.json; StorageError where it is damaged, or of a later day."""
    study = dict(checked(folder / STUDY, SWEEP))
    if study["format"] != 1:
        raise StorageError(
            f"{folder / STUDY} has format {study['format']}, and this prunekit reads 1; "
            f"read it with prunekit {study.get('prunekit', 'of that day')}"
        )
    for trial in study["trials"]:
        path = Path(trial["folder"])
        if path.is_absolute() or ".." in path.parts or not _leads_inside(folder / path, folder):
            raise StorageError(
                f"{folder / STUDY} is damaged: {printable(str(path))} lies outside of the sweep, "
                "links followed, or is no path"
            )
    return study


def _leads_inside(path: Path, folder: Path) -> bool:
    """Whether a path, its links followed, lies in a folder; False for what is no path."""
    try:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    except ValueError:  # a NUL, or half of a character
        return False


def _trials(folder: Path) -> tuple[list[Trial], bool]:
    """The trials of a sweep, and whether it has axes."""
    study = read_sweep(folder)
    name = study.get("name") or folder.resolve().name
    facts: list[dict[str, Any]] = [
        {"sweep": name, "published": {}} | {key: trial[key] for key in TOLD if key in trial}
        for trial in study["trials"]
    ]
    places = [folder / trial["folder"] for trial in study["trials"]]
    return list(zip(places, facts)), any(trial["cell"] for trial in study["trials"])


def _of_folders(trials: Sequence[Trial]) -> list[Row]:
    """Rows of run folders alone: their cells are what their specs differ in.

    One that has no spec, since it failed at once or is still to begin, has that of its neighbour.
    """
    specs = [_spec_of(folder) for folder, _ in trials]
    seeds = [_seed_of(folder, spec) for (folder, _), spec in zip(trials, specs)]
    near = {path.parent: spec for (path, _), spec in zip(trials, specs) if spec}
    specs = [spec or near.get(path.parent, {}) for (path, _), spec in zip(trials, specs)]
    return [
        read_trial(
            folder,
            {
                "seed": seed,
                "published": spec.get("published", {}),
                "device": spec.get("device", ""),
            }
            | facts
            | {"cell": cell},
        )
        for (folder, facts), spec, seed, cell in zip(trials, specs, seeds, varied(specs))
    ]


def _spec_of(folder: Path) -> dict[str, Any]:
    """The spec of a run folder; empty where it has none."""
    run = RunFolder(folder)
    return shown_spec(run) if run.holds_run() else {}


def _seed_of(folder: Path, spec: Mapping[str, Any]) -> int:
    """The seed that a spec says, else the number of a folder seed-7."""
    number = folder.name.removeprefix("seed-")
    return int(spec.get("seed", int(number) if number.isdecimal() else 0))


def read_trial(folder: Path, known: Mapping[str, Any]) -> Row:
    """The row of a run folder; known: fields of `Row` that the folder does not tell."""
    run = RunFolder(folder)
    unknown: dict[str, Any] = {"sweep": "", "id": "", "state": "new", "metrics": {}}
    row = Row(**{**unknown, **known}, folder=folder)
    try:
        if os.path.lexists(run.summary):
            return _finished(row, run)
        return attrs.evolve(row, **_unfinished(run))
    except PrunekitError as error:
        return attrs.evolve(row, state="failed", code=error.exit_code, reason=str(error))


def _finished(row: Row, run: RunFolder) -> Row:
    summary = run.read_summary()
    record = run.read_components() if os.path.lexists(run.components) else {}
    environment = record.get("environment", {})
    cold = summary.get("cold_seconds")
    return attrs.evolve(
        row,
        state="done",
        metrics=scalars(summary),
        threads=environment.get("threads"),
        device=environment.get("device") or row.device,
        warm=None if cold is None else not cold,
    )


def _unfinished(run: RunFolder) -> dict[str, Any]:
    """State, and of a failed trial its exit code and reason."""
    failure = run.path.with_name(run.path.name + FAILURE)
    if FolderLock(run.path).in_use():
        return {"state": "running"}
    if os.path.lexists(failure):
        told = checked(failure, FAILED)
        return {"state": "failed", "code": told["code"], "reason": told["reason"]}
    return {"state": "begun" if run.holds_run() else "new"}


def scalars(summary: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a summary; lists of names (layers without a weight) as their count."""
    named = ("empty", "left_out", "redrawn_zeros")
    counted = {key: len(summary[key]) for key in named if key in summary}
    numbers = {
        key: value
        for key, value in summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and key != "seed"
    }
    return numbers | counted
