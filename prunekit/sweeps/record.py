"""sweep.json and sweep.toml: what a sweep is made of, written at each start, read without torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import tomli_w

from prunekit.errors import SpecError
from prunekit.reports.labels import spelling
from prunekit.resolve.sources import version_of
from prunekit.spec.sections import Published
from prunekit.storage.files import write_bytes
from prunekit.storage.texts import read_json
from prunekit.sweeps.located import located
from prunekit.sweeps.study import Cell, Study

if TYPE_CHECKING:
    from prunekit.sweeps.conduct import Sweep  # imports torch
    from prunekit.sweeps.trials import Trial

FORMAT = 1
FACTS, FILE = "sweep.json", "sweep.toml"
MOST = 2**28
"""Bytes of a sweep's facts, at most."""


def folder_of(study: Any) -> Path:
    """Where the sweep of a study lies unless somebody says: by its file, or by what it says.

    study: as `prunekit.sweep` takes it.
    """
    if isinstance(study, Study):
        return Path("runs") / study.name
    if isinstance(study, str | Path):
        return Path(study) if os.path.isdir(study) else Path("runs") / Path(study).stem
    text = json.dumps(study, sort_keys=True, default=str)
    return Path("runs") / f"sweep-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def file_of(path: str | Path) -> Path:
    """The file of a study, which may be named by the folder of its sweep."""
    return Path(path) / FILE if os.path.isdir(path) else Path(path)


def threads_of(out: Path, wanted: int | None, default: int, begun: bool) -> int:
    """Threads of each trial: those that the sweep began with, for its bits depend on them.

    begun: whether any trial was. SpecError where others are wanted now.
    """
    before = _read(out).get("threads")
    if not isinstance(before, int) or not begun:
        return default if wanted is None else wanted
    if wanted is not None and wanted != before:
        raise SpecError(
            f"{out} was begun with {before} threads a trial, and the bits depend on them; leave "
            f"--threads = {wanted} out, or choose another --out"
        )
    return before


def _read(out: Path) -> Mapping[str, Any]:
    path = out / FACTS
    found = read_json(path, most=MOST) if os.path.lexists(path) else {}
    return found if isinstance(found, Mapping) else {}


def file_before(out: Path) -> str:
    """Where the study lay that a folder is of; "" where that is not known."""
    return str(_read(out).get("file", ""))


def write(sweep: Sweep, threads: int) -> None:
    """Write both files, whole or not at all; SpecError for a study that TOML cannot say."""
    study = sweep.study
    text = _text_of(located(study, [trial.spec for trial in sweep.trials]))
    facts = {
        "format": FORMAT,
        "prunekit": version_of("prunekit"),
        "threads": threads,
        "name": study.name,
        "axes": {axis.name: [shown(value) for value in axis.values] for axis in study.axes},
        "trials": [_row(trial, sweep.changed.get(trial.folder, ())) for trial in sweep.trials],
        "left_out": [{"cell": _cell(cell), "reason": why} for cell, why in sweep.left_out],
        "orphaned": list(sweep.orphaned),
    }
    if file := file_before(sweep.out) if study.file == str(sweep.out / FILE) else study.file:
        facts["file"] = file
    told = json.dumps(facts, indent=1) + "\n"
    write_bytes(sweep.out / FILE, text.encode())
    write_bytes(sweep.out / FACTS, told.encode())


def _text_of(table: Mapping[str, Any]) -> str:
    try:
        return tomli_w.dumps(table)
    except TypeError as error:
        what = "leave None out" if "None" in str(error) else "use numbers, texts, lists and tables"
        raise SpecError(f"the study cannot be written as TOML ({error}); {what}") from None


def _row(trial: Trial, changed: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": trial.id, "folder": trial.folder, "cell": _cell(trial.cell)}
    row["seed"] = trial.seed
    if trial.published != Published():
        values = attrs.asdict(trial.published)
        row["published"] = {key: value for key, value in values.items() if value is not None}
    return row | ({"changed": list(changed)} if changed else {})


def _cell(cell: Cell) -> dict[str, Any]:
    return {name: shown(value) for name, value in cell.items()}


def shown(value: Any) -> Any:
    """A value of an axis in a table: a scalar as it is, anything else in a word."""
    return value if isinstance(value, bool | int | float | str) else spelling(value)
