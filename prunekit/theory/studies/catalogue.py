"""The papers' tables and figures, redone with one call each.

    table, figure = STUDIES["table-2"]()

A study returns rows (a list of dicts with equal keys) and a matplotlib figure that no global state
knows of. Left alone it takes under a minute; its options are the arguments of its function. A, B,
C and D are the papers of `prunekit.theory`. Importing this module imports no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]
Progress = Callable[[int, int], None]
"""Told (done, total) after each part of a study."""
Outcome = tuple[list[Row], "Figure"]


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


@attrs.frozen
class Study:
    """One study by its home; calling it imports what it needs and runs it."""

    module: str
    function: str
    summary: str

    @property
    def run(self) -> Callable[..., Outcome]:
        """The function itself: its arguments after `progress` are the study's options."""
        from prunekit.theory.domain import calculator

        found: Callable[..., Outcome] = getattr(importlib.import_module(self.module), self.function)
        return calculator(found)

    def __call__(self, progress: Progress = no_progress, **options: Any) -> Outcome:
        return self.run(progress, **options)


def _study(module: str, function: str, summary: str) -> Study:
    return Study(f"prunekit.theory.studies.{module}", function, summary)


STUDIES: Mapping[str, Study] = {
    "table-2": _study("matrices", "table_2", "B, Table 2: norms of random matrices"),
    "table-3": _study("matrices", "table_3", "B, Table 3: the constant C of Latala's bound"),
    "figure-2": _study("sums", "figure_2", "D, Figure 2: gaps between sums of few samples"),
    "kept-weights": _study("tickets", "kept_weights", "C, Figure 1a: which sizes are kept"),
    "scores": _study("tickets", "scores", "C, Figure 1: scores of all and of kept weights"),
    "ticket-norms": _study(
        "tickets", "ticket_norms", "C, Figure 2: a winning mask's norm among random masks'"
    ),
    "weight-moments": _study(
        "moments", "weight_moments", "B, Table 1, Figures 1-2: moments of a net's weights"
    ),
    "width": _study("width", "width", "A, Lemma A.4: success against width, R = 1, 2, 4, 8"),
    "sketch-error": _study(
        "masks", "sketch_error", "C: error against s for sketch, top-k and uniform masks"
    ),
}
"""Name -> study."""
