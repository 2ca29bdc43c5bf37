"""A study: a base spec, axes, seeds, what is skipped, what was published. Read and checked.

Nothing is looked up in plugins here; `trials` does that.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import attrs

from prunekit.errors import SpecError
from prunekit.reports.labels import spelling
from prunekit.resolve.structure import refuse_unknown, section_from, underscored
from prunekit.spec.options import is_a
from prunekit.spec.sections import Published
from prunekit.storage.texts import read_toml
from prunekit.sweeps.axes import (
    KEYS,
    Axis,
    Condition,
    axes_from,
    conditions,
    holds,
    put,
    sets,
)

STUDY = ("seeds", "base", "axes", "skip", "published")
FIGURE = ("source", "metric", "mean", "std", "n")
MOST_CELLS = 100_000
CONTROL = "prune.control"

Cell = Mapping[str, Any]
"""Name of an axis -> its value, without the axes that a piece has left."""


@attrs.frozen
class Figure:
    """What was published for the cell that meets a condition."""

    where: str
    condition: Condition
    published: Published


@attrs.frozen
class Study:
    """Many runs: every combination of the axes' values over the base, with every seed.

    table: the study as a file says it, `base` in full. base: the nested table of a spec. axes:
    those of named pieces first, then keys of a spec, each as the file has them. file: where it was
    read, absolute; "" for one of a table or of flags.
    """

    name: str
    table: Mapping[str, Any]
    base: Mapping[str, Any]
    axes: tuple[Axis, ...] = ()
    seeds: tuple[int, ...] = (0,)
    skip: tuple[Condition, ...] = ()
    figures: tuple[Figure, ...] = ()
    file: str = ""

    def cells(self) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Each cell and the nested table of its spec, the last axis fastest; no cell twice."""
        seen = set()
        for numbers in product(*(range(len(axis.values)) for axis in self.axes)):
            chosen = self._chosen(numbers)
            cell = {axis.name: axis.values[number] for axis, number in chosen}
            key = tuple((axis.name, number) for axis, number in chosen)
            if key in seen or any(holds(condition, cell) for condition in self.skip):
                continue
            seen.add(key)
            table = copy.deepcopy(dict(self.base))
            put(table, [axis.pieces[number] for axis, number in chosen])
            yield cell, table

    def _chosen(self, numbers: tuple[int, ...]) -> list[tuple[Axis, int]]:
        """The axes and the number of the value of each, but for those that a piece leaves."""
        pairs = list(zip(self.axes, numbers))
        named = [axis.pieces[number] for axis, number in pairs if not axis.is_key]
        return [
            (axis, number)
            for axis, number in pairs
            if not (axis.is_key and any(sets(piece, axis.name) for piece in named))
        ]

    def figure_of(self, cell: Cell) -> Figure | None:
        """What was published for a cell; the controls of it are another cell, unless named."""
        found = [
            figure
            for figure in self.figures
            if holds(figure.condition, cell)
            and (CONTROL in figure.condition or cell.get(CONTROL, "none") == "none")
        ]
        if len(found) > 1:
            places = " and ".join(figure.where for figure in found)
            raise SpecError(f"{places} are figures for one cell, {said(cell)}; keep one")
        return found[0] if found else None


def said(cell: Cell) -> str:
    """A cell in words: "method=snip prune.density=0.1"."""
    return " ".join(f"{name}={spelling(value)}" for name, value in cell.items()) or "the base"


def read_study(path: str | Path) -> Study:
    """The study in a file of TOML, named for it; SpecError names the key that is wrong."""
    file = Path(path)
    study = study_from(read_toml(file), file.stem, file.parent)
    return attrs.evolve(study, file=str(file.absolute()))


def inlined(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The table of a study, with its base in full where it names a file in `folder`.

    A spec alone is the base of one. SpecError for a key that no study has.
    """
    if not {"base", "axes", "seeds", "skip"} & set(given):
        given = {"base": given}
    for key in given:
        if key.replace("-", "_") in KEYS and key not in STUDY:
            raise SpecError(f"{key!r} is a key of a spec: set it under [base] or in [axes]")
    refuse_unknown(given, STUDY, "")
    base = given.get("base", {})
    if isinstance(base, str):
        base = read_toml(folder / base)
    if not isinstance(base, Mapping):
        raise SpecError(f"base must be a spec or the name of its file: {base!r}")
    base = copy.deepcopy(underscored(base, "base."))
    refuse_unknown(base, KEYS, "base")
    return {**given, "base": base}


def study_from(given: Mapping[str, Any], name: str = "study", folder: Path = Path()) -> Study:
    """The study that a nested table says; a spec alone is one too.

    folder: where the file of a base that is named lies. SpecError names the key that is wrong.
    """
    table = inlined(given, folder)
    base = dict(table["base"])
    shown, first = _shown(base.pop("published", {})), base.pop("seed", 0)
    axes = axes_from(table.get("axes", {}))
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_CELLS:
        raise SpecError(f"axes make {count:,} combinations, more than {MOST_CELLS:,}; take fewer")
    skip = tuple(conditions(one, axes, where) for where, one in _tables(table, "skip"))
    figures = [_figure(where, one, axes, shown) for where, one in _tables(table, "published")]
    if shown and not axes and not figures:
        figures.append(Figure("base.published", {}, _published("base", shown)))
    elif "mean" in shown:
        raise SpecError(
            "base.published.mean is the figure of one cell; give it in [[published]], with the "
            "values of the axes that it is of"
        )
    seeds = _seeds(table.get("seeds", 1), first, MOST_CELLS // count)
    return _with_figures(Study(name, table, base, axes, seeds, skip), figures)


def _with_figures(study: Study, figures: list[Figure]) -> Study:
    """The study with its figures; SpecError for one that is of no cell, or of several that run."""
    study = attrs.evolve(study, figures=tuple(figures))
    if not figures:
        return study
    skip, cells = study.skip, [cell for cell, _ in attrs.evolve(study, skip=()).cells()]
    owners = [study.figure_of(cell) for cell in cells]
    for figure in figures:
        found = [cell for cell, owner in zip(cells, owners) if owner is figure]
        if not found:
            raise SpecError(f"{figure.where} is of no cell of this study; see its conditions")
        run = [cell for cell in found if not any(holds(one, cell) for one in skip)]
        if len(run) > 1:
            raise SpecError(
                f"{figure.where} is of {len(run)} cells ({said(run[0])}; {said(run[1])}); "
                "a figure is of one: name the values of the other axes too"
            )
    return study


def _shown(given: Any) -> Mapping[str, Any]:
    """What a base says was published."""
    if not isinstance(given, Mapping):
        raise SpecError(f"base.published must be a table: {given!r}")
    refuse_unknown(given, FIGURE, "base.published")
    return given


def _tables(given: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where each table of a list stands, and the table."""
    tables = given.get(key, [])
    if not isinstance(tables, list | tuple) or not all(isinstance(t, Mapping) for t in tables):
        raise SpecError(f"{key} must be a list of tables, each under [[{key}]]: {tables!r:.80}")
    for number, table in enumerate(tables, 1):
        if not table:
            raise SpecError(f"[[{key}]] number {number} is empty; name values of axes")
        yield f"[[{key}]] number {number}", table


def _figure(
    where: str, table: Mapping[str, Any], axes: tuple[Axis, ...], shown: Mapping[str, Any]
) -> Figure:
    own = {key: value for key, value in table.items() if key in FIGURE}
    if "mean" not in own:
        raise SpecError(f"{where} has no mean, the figure that was published")
    rest = {key: value for key, value in table.items() if key not in FIGURE}
    condition = conditions(rest, axes, where)
    return Figure(where, condition, _published(where, {**shown, **own}))


def _published(where: str, table: Mapping[str, Any]) -> Published:
    try:
        found: Published = section_from("published", dict(table))
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    return found


def _seeds(given: Any, first: Any, most: int) -> tuple[int, ...]:
    """The seeds of a study: so many from the base's on, or those that are listed."""
    count = given if is_a(given, int) else len(given) if isinstance(given, list | tuple) else 0
    if count > most:
        raise SpecError(
            f"{count:,} seeds make more than {MOST_CELLS:,} trials; take {most:,} at most"
        )
    if not is_a(first, int):
        raise SpecError(f"base.seed must be an int: {first!r}")
    if is_a(given, int) and given >= 1:
        return tuple(range(first, first + given))
    listed = isinstance(given, list | tuple) and len(given) > 0
    if not listed or not all(is_a(seed, int) for seed in given) or len(set(given)) < len(given):
        raise SpecError(f"seeds must be an int >= 1, or a list of different seeds: {given!r}")
    return tuple(given)
