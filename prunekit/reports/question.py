"""What a table is asked to show of which runs."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from prunekit.errors import SpecError
from prunekit.reports.cells import (
    ACROSS,
    Condition,
    chosen_metric,
    known_key,
    meets,
    naming,
    varying,
)
from prunekit.reports.labels import spelling
from prunekit.reports.tidy import Row


@attrs.frozen
class Question:
    """What a table is asked to show.

    metric: None = the accuracy of the test set, or its loss. by: keys that name the lines; empty =
    all that vary. across: the key whose values are columns; None = the density where it varies,
    "none" = no such key. minus: runs to subtract.
    """

    metric: str | None = None
    by: tuple[str, ...] = ()
    across: str | None = None
    minus: Condition | None = None

    def known(self, rows: Sequence[Row]) -> Question:
        """The question in full; SpecError for a key, value or metric that these runs lack."""
        metric = chosen_metric(rows, self.metric)
        minus = self.minus and (known_key(rows, self.minus[0]), self.minus[1])
        if minus is not None and not any(meets(row, minus) for row in rows):
            values = dict.fromkeys(spelling(r.cell[minus[0]]) for r in rows if minus[0] in r.cell)
            raise SpecError(
                f"no run has {minus[0]} = {minus[1]!r}, to be subtracted; on offer: "
                f"{', '.join(values)}"
            )
        left = [row for row in rows if minus is None or not meets(row, minus)]
        if not left:
            raise SpecError(f"all runs have {minus[0]} = {minus[1]!r}: nothing is left")  # type: ignore[index]
        by = tuple(dict.fromkeys(known_key(rows, key) for key in self.by))
        varied = by or tuple(naming(left))
        across: str | None = "none"
        if self.across is None:
            wide = ACROSS in varying(left) and ACROSS not in by and len({*varied} - {ACROSS}) > 0
            across = ACROSS if wide else "none"
        elif self.across != "none":
            across = known_key(rows, self.across)
        by = tuple(key for key in varied if key != across)
        return Question(metric, by, across, minus)

    @property
    def minus_name(self) -> str:
        return f"minus {'='.join(self.minus)}" if self.minus else ""
