"""Runs and cells as flat records, which CSV and data frames take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunekit.reports.cells import Cell, cells
from prunekit.reports.labels import spelling
from prunekit.reports.question import Question
from prunekit.reports.tidy import Row, rows

FIRST = ("seed", "n", "state", "code", "reason")
LAST = ("threads", "device", "warm", "id", "folder")
GROUPS = ("", "cell", "run", "summary", "published", "run")
"""What the parts of a record are of, in their order; a name that is taken has it in front."""


def results(folders: str | Path | Sequence[str | Path]) -> list[dict[str, Any]]:
    """The trials of sweeps and run folders as flat dictionaries, one a run, with the same keys.

    sweep; what varied; seed, n (finished runs of the same cell), state, code, reason; the numbers
    of summary.json; published.source, .metric, .mean, .std, .n where a paper has a figure; threads,
    device, warm, id, folder. None is what is not known. `pandas.DataFrame(results(...))` is a
    frame. An axis or a number that has a name of these is `cell.NAME` or `summary.NAME`.
    Raises SpecError for a folder without runs, StorageError for a damaged sweep.json.
    """
    return run_records(rows([folders] if isinstance(folders, str | Path) else folders))


def run_records(found: Sequence[Row]) -> list[dict[str, Any]]:
    """One record a run; see `results`."""
    done = Counter(_place(row) for row in found if row.state == "done")
    parts = [_parts(row, done[_place(row)]) for row in found]
    names: dict[tuple[int, str], str] = {(0, "sweep"): "sweep"}
    taken = {"sweep", *FIRST, *LAST}
    for number, group in enumerate(GROUPS):
        for key in dict.fromkeys(key for part in parts for key in part[number]):
            own = group == "run" or not number
            names[number, key] = key if own or key not in taken else f"{group}.{key}"
            taken.add(names[number, key])
    return [{name: part[at].get(key) for (at, key), name in names.items()} for part in parts]


def _parts(row: Row, n: int) -> list[Mapping[str, Any]]:
    """What a record says, group by group."""
    facts = {
        "n": n,
        **{key: getattr(row, key) for key in ("seed", "state", "code", "threads", "warm", "id")},
        **{"reason": row.reason or None, "device": row.device or None, "folder": str(row.folder)},
    }
    cell = {key: _scalar(value) for key, value in row.cell.items() if key != "sweep"}
    paper = {f"published.{key}": value for key, value in row.published.items()}
    first, last = ({key: facts[key] for key in keys} for keys in (FIRST, LAST))
    return [{"sweep": row.sweep}, cell, first, row.metrics, paper, last]


def _scalar(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else spelling(value)


def _place(row: Row) -> str:
    return repr((row.sweep, sorted(row.cell.items(), key=repr)))


def cell_records(found: Sequence[Row], question: Question) -> list[dict[str, Any]]:
    """One record a cell: its keys, metric, mean, std, min, n, runs, failed, published figures."""
    asked = question.known(found)
    assert asked.metric
    keys = (*asked.by, *([asked.across] if asked.across not in (None, "none") else []))
    return [
        {key: _scalar(cell.key.get(key)) for key in keys} | _numbers(cell, asked)
        for cell in cells(found, asked.metric, keys, asked.minus)
    ]


def _numbers(cell: Cell, asked: Question) -> dict[str, Any]:
    stat, paper = cell.measured, cell.published
    record: dict[str, Any] = {"metric": asked.metric, "mean": stat.mean, "std": stat.std}
    record |= {"min": stat.least, "n": stat.n, "runs": stat.of, "failed": stat.failed}
    record |= {f"published.{key}": paper[key] for key in ("mean", "std", "n") if key in paper}
    record |= {"difference": cell.deviation} if paper else {}
    if cell.minus is not None and asked.minus is not None:
        less = asked.minus_name
        record |= {f"{less}.mean": cell.minus.mean, f"{less}.std": cell.minus.std}
        record |= {f"{less}.n": cell.minus.n}
    return record
