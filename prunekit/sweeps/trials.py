"""The trials of a study: each cell resolved, each seed with an id and a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from prunekit.errors import PrunekitError, SpecError
from prunekit.reports.labels import spelling
from prunekit.resolve.archfile import FileArchitecture
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.spec.sections import Published, Spec
from prunekit.sweeps.identity import Contents, facts, identity
from prunekit.sweeps.study import CONTROL, Cell, Study, said

MOST_REFUSED = 20
LONGEST = 60
"""Characters of a folder's name, at most: some file systems take no more than 143."""
LETTERS = 6
"""Digits of a cell's id in its folder's name."""


@attrs.frozen
class Trial:
    """One run of a study.

    id: by its resolved plan, see `identity`. cell_id: the same with seed 0. folder: in the study's,
    with "/". spec: resolved. published: what a paper reports for its cell; the empty one otherwise.
    """

    id: str
    cell_id: str
    folder: str
    cell: Cell
    seed: int
    spec: Spec
    published: Published


@attrs.frozen
class Expansion:
    """What a study comes to.

    left_out: cells with a control that cannot act there, and why. refused: cells that cannot be,
    and why. same: pairs of cells that are one plan, of which the first is run.
    """

    trials: tuple[Trial, ...]
    left_out: tuple[tuple[Cell, str], ...] = ()
    refused: tuple[tuple[Cell, str], ...] = ()
    same: tuple[tuple[Cell, Cell], ...] = ()

    def require(self, say: Callable[[str], object]) -> None:
        """SpecError unless every cell can be; `say` is given a line for each that cannot."""
        if not self.refused:
            return
        count, (cell, reason) = len(self.refused), self.refused[0]
        if len({reason for _, reason in self.refused}) == 1 and not self.trials:
            raise SpecError(f"no combination can be run: {reason}")
        for one, why in self.refused[:MOST_REFUSED]:
            say(f"{said(one)}: {why}")
        more = f", of which {MOST_REFUSED} are shown" if count > MOST_REFUSED else ""
        raise SpecError(
            f"{count} combinations of the study cannot be run{more}, first {said(cell)}: "
            f"{reason.rstrip('.')}; mend them, or leave them out by [[skip]]; nothing was begun"
        )


def expanded(study: Study, plugins: Plugins) -> Expansion:
    """The trials of a study, cell by cell; PluginError and SpecError only for what is no cell's."""
    contents, trials = Contents(), list[Trial]()
    first: dict[str, Cell] = {}
    left_out, refused = list[tuple[Cell, str]](), list[tuple[Cell, str]]()
    same = list[tuple[Cell, Cell]]()
    for cell, table in study.cells():
        try:
            made = _trials_of(cell, table, study, plugins, contents)
        except PrunekitError as error:
            (left_out if _by_control(table, plugins) else refused).append((cell, str(error)))
            continue
        cell_id = made[0].cell_id
        if cell_id in first:
            same.append((first[cell_id], cell))
            continue
        first[cell_id] = cell
        trials += made
    return Expansion(tuple(trials), tuple(left_out), tuple(refused), tuple(same))


def _trials_of(
    cell: Cell, table: dict[str, Any], study: Study, plugins: Plugins, contents: Contents
) -> list[Trial]:
    """The trials of one cell, a seed each."""
    spec = resolve(structure(table, plugins), plugins).spec
    if isinstance(spec.arch, FileArchitecture):
        spec = attrs.evolve(spec, arch=spec.arch.read())
    figure = study.figure_of(cell)
    published = figure.published if figure else Published()
    known_by = facts(spec, plugins, contents)
    cell_id, made = identity(known_by, 0), []
    place = f"{folder_name(cell, cell_id)}/" if study.axes else ""
    for seed in study.seeds:
        own = attrs.evolve(spec, seed=seed, published=published)
        names = (identity(known_by, seed), cell_id, f"{place}seed-{seed}")
        made.append(Trial(*names, cell, seed, own, published))
    return made


def _by_control(table: Mapping[str, Any], plugins: Plugins) -> bool:
    """Whether a cell that is refused would be none without its control."""
    prune = table.get("prune")
    if not isinstance(prune, Mapping) or prune.get("control", "none") == "none":
        return False
    try:
        resolve(structure({**table, "prune": {**prune, "control": "none"}}, plugins), plugins)
    except PrunekitError:
        return False
    return True


def folder_name(cell: Cell, cell_id: str) -> str:
    """The readable name of a cell's folder, with the first digits of its id."""
    words = "-".join(spelling(value) for name, value in cell.items() if (name, value) != NO_CONTROL)
    short = re.sub(r"[^\w.=-]", "_", words, flags=re.ASCII)[: LONGEST - LETTERS - 1].strip("-.")
    return f"{short or 'cell'}-{cell_id[:LETTERS]}"


NO_CONTROL = (CONTROL, "none")


def chosen(trials: Sequence[Trial], only: Mapping[str, tuple[Any, ...]]) -> tuple[Trial, ...]:
    """The trials whose cells meet all conditions."""
    from prunekit.sweeps.axes import holds

    return tuple(trial for trial in trials if holds(only, trial.cell))
