"""A study in a file of TOML: its options, and the figures that a paper prints, by row."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import SpecError, did_you_mean
from prunekit.storage.texts import read_toml
from prunekit.theory.studies.catalogue import STUDIES, Row

KEYS = ("study", "options", "rows", "published")


@attrs.frozen
class Filed:
    """A study by name, its options, and what was published.

    rows: the columns that a figure names its row by; a column that it lacks is None there.
    """

    study: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    rows: Sequence[str] = ()
    published: Sequence[Mapping[str, Any]] = ()

    def beside(self, found: Sequence[Row]) -> list[Row]:
        """The rows with a column "NAME, paper" behind each of which a figure was published.

        SpecError for a figure of no row, or of a column that the study does not have.
        """
        placed: dict[int, Mapping[str, Any]] = {}
        for number, figure in enumerate(self.published, 1):
            at = [i for i, row in enumerate(found) if self._of(figure) == self._of(row)]
            if len(at) != 1:
                raise SpecError(f"published number {number} is of {len(at)} rows; see {self.rows}")
            placed[at[0]] = figure
        shown = {key for figure in self.published for key in figure} - {*self.rows}
        if strange := sorted(shown - {*found[0]}):
            raise SpecError(f"published names {strange[0]!r}, and the columns are {[*found[0]]}")
        return [_with(row, placed.get(i, {}), shown) for i, row in enumerate(found)]

    def _of(self, row: Mapping[str, Any]) -> list[Any]:
        return [row.get(key) for key in self.rows]


def _with(row: Row, figure: Mapping[str, Any], shown: set[str]) -> Row:
    wide: Row = {}
    for key, value in row.items():
        wide[key] = value
        if key in shown:
            wide[f"{key}, paper"] = figure.get(key)
    return wide


def read_filed(path: str | Path) -> Filed:
    """The study in a file; SpecError names the key that is wrong."""
    table = read_toml(Path(path))
    for key in table:
        if key not in KEYS:
            hint = did_you_mean(key, KEYS) or f" On offer: {', '.join(KEYS)}."
            raise SpecError(f"{path} has an unknown key {key!r}.{hint}")
    if table.get("study") not in STUDIES:
        known = ", ".join(STUDIES)
        raise SpecError(f"{path}: study must be one of {known}: {table.get('study')!r}")
    kinds = {"options": dict, "rows": list, "published": list}
    for key, kind in kinds.items():
        if not isinstance(table.get(key, kind()), kind):
            what = "a table" if kind is dict else "a list"
            raise SpecError(f"{path}: {key} must be {what}: {table[key]!r:.80}")
    if not all(isinstance(figure, Mapping) for figure in table.get("published", [])):
        raise SpecError(f"{path}: published must be a list of tables, one for each row")
    options = table.get("options", {})
    names = [*inspect.signature(STUDIES[table["study"]].run).parameters][1:]
    for name in options:
        if name not in names:
            hint = did_you_mean(name, names) or f" On offer: {', '.join(names)}."
            raise SpecError(f"{path}: the study {table['study']} has no option {name!r}.{hint}")
    return Filed(**table)
