"""Runs as rows, whoever made them: a sweep's, those of seeds, or single folders.

A row is one trial: what varied, what came out, and how far it is. Read are `sweep.json` and the
run folders, nothing else; no code that they name is looked up. Imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from prunekit.errors import PrunekitError, StorageError
from prunekit.reports.report import shown_spec
from prunekit.reports.varied import varied
from prunekit.storage.lock import FolderLock
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.shapes import FAILED, SWEEP, checked

RunState = Literal["done", "running", "failed", "begun", "new"]
"""new: nothing is there yet; begun: stopped on the way, and can go on."""
STUDY = "sweep.json"
DEEPEST = 3
"""Folders below a given one in which runs are looked for: method/density/seed-0."""


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

    Rows of several sweeps have the key "sweep" in their cells. SpecError for a folder that holds
    neither sweep nor run, StorageError for a sweep.json that is damaged. A run whose files are
    damaged is a failed one, with what is wrong as its reason.
    """
    studies, single = [], []
    for folder in map(Path, folders):
        if os.path.lexists(folder / STUDY):
            studies.append(_of_sweep(folder))
        else:
            single += list(runs_below(folder))
    made = [*studies, *([_of_folders(single)] if single else [])]
    if len(made) > 1:
        made = [[attrs.evolve(r, cell={"sweep": r.sweep, **r.cell}) for r in part] for part in made]
    return list({row.folder.resolve(): row for part in made for row in part}.values())


def runs_below(folder: Path) -> Iterator[Path]:
    """The folder, if it holds a run; else those below it that do. SpecError where there is none."""
    if RunFolder(folder).holds_run():
        yield folder
        return
    found = [p for depth in range(1, DEEPEST + 1) for p in folder.glob("*/" * depth + "spec.toml")]
    if not found:
        RunFolder(folder).require_run()
    yield from sorted((path.parent for path in found), key=_numbers_as_such)


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
        if path.is_absolute() or ".." in path.parts:
            raise StorageError(f"{folder / STUDY} is damaged: {path} lies outside of the sweep")
    return study


def _of_sweep(folder: Path) -> list[Row]:
    study = read_sweep(folder)
    name = study.get("name") or folder.resolve().name
    return [
        read_trial(
            folder / trial["folder"],
            sweep=name,
            id=trial["id"],
            seed=trial["seed"],
            cell=trial["cell"],
            published=trial.get("published") or {},
        )
        for trial in study["trials"]
    ]


def _of_folders(folders: Sequence[Path]) -> list[Row]:
    """Rows of run folders alone: their cells are what their specs differ in."""
    specs = [shown_spec(RunFolder(folder)) for folder in folders]
    return [
        read_trial(
            folder,
            seed=spec.get("seed", 0),
            cell=cell,
            published=spec.get("published", {}),
            device=spec.get("device", ""),
        )
        for folder, spec, cell in zip(folders, specs, varied(specs))
    ]


def read_trial(folder: Path, **known: Any) -> Row:
    """The row of a run folder; known: fields of `Row` that the folder does not tell."""
    run = RunFolder(folder)
    unknown: dict[str, Any] = {"sweep": "", "id": "", "state": "new", "metrics": {}}
    row = Row(**unknown | known, folder=folder)
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
    failure = run.path.with_name(f"{run.path.name}.failed.json")
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
