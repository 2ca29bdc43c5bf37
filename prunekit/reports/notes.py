"""What a reader must know of the numbers of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from prunekit.reports.cells import Cell, comparable, has_figure, naming, varying, words_of
from prunekit.reports.labels import spelling
from prunekit.reports.question import Question
from prunekit.reports.tidy import Row

BOLD = "bold: the best of a column, of one density, and what is within one of its deviations"
MOST_NAMED = 20
"""Failed runs that are named below a table."""


def notes(rows: Sequence[Row], found: Sequence[Cell], asked: Question, usual: int) -> Iterable[str]:
    """What a reader must know of the numbers: n, rounding, what is missing, what is mixed."""
    metric = str(asked.metric)
    runs = f"n = {usual} runs" if usual != 1 else "n = 1 run"
    spread = "mean ± sample standard deviation (n - 1)" if usual > 1 else "single numbers"
    yield f"{metric}: {spread}, {runs} in a cell unless said"
    if asked.minus:
        yield f"{asked.minus_name}: mean and deviation of differences of runs of one seed"
    if sources := dict.fromkeys(c.published.get("source", "") for c in found if c.published):
        yield f"published: {'; '.join(filter(None, sources)) or 'no source is named'}"
        yield "difference: measured less published, in published standard deviations σ"
    bare = [cell for cell in found if not cell.published]
    if mixed := sum(any(has_figure(row, metric) for row in cell.rows) for cell in bare):
        yield f"cells whose runs have different published figures, and which show none: {mixed}"
    yield from _whole(rows, asked)
    again = len(rows) - len({(row.seed, repr(sorted(row.cell.items(), key=repr))) for row in rows})
    if again:
        yield f"runs that repeat another's cell and seed, and are counted nevertheless: {again}"
    yield from _mixed(rows, found, metric)
    yield from unfinished(rows)


def _whole(rows: Sequence[Row], asked: Question) -> Iterable[str]:
    """Keys that do not show: those of one value, those whose runs are pooled, and one left."""
    shown, varied = {*asked.by, asked.across, asked.minus and asked.minus[0]}, varying(rows)
    keys = dict.fromkeys(key for row in rows for key in row.cell)
    same = [f"{k} = {spelling(rows[0].cell.get(k))}" for k in keys if k not in (*varied, *shown)]
    if same:
        yield f"everywhere: {', '.join(same)}"
    hidden = [key for key in varied if key not in shown]
    told = [key for key in hidden if key not in naming(rows)]
    if told:
        yield f"different too, as the components are: {', '.join(told)}"
    if pooled := [key for key in hidden if key not in told]:
        yield f"pooled over {', '.join(pooled)}"


def _mixed(rows: Sequence[Row], found: Sequence[Cell], metric: str) -> Iterable[str]:
    if cold := len(rows) - len(comparable(rows, metric)):
        yield f"{metric}: left out are the runs that were the first of their process: {cold}"
    for what in ("threads", "device"):
        values = dict.fromkeys(
            value for cell in found for row in cell.rows if (value := getattr(row, what))
        )
        if len(values) > 1:
            yield f"runs differ in {what} ({', '.join(map(str, values))}), which may change bits"


def unfinished(rows: Sequence[Row]) -> Iterable[str]:
    """How many runs are not done, and each that failed with its reason."""
    states = Counter(row.state for row in rows if row.state != "done")
    if not states:
        return
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    yield f"{sum(states.values())} of {len(rows)} runs are not done: {told}"
    named = zip(rows, words_of(rows, dict.fromkeys(key for row in rows for key in row.cell)))
    failed = [(row, words) for row, words in named if row.state == "failed"]
    for row, words in failed[:MOST_NAMED]:
        yield f"failed: {trial_name(row, words)}: exit code {row.code}: {row.reason}"
    if len(failed) > MOST_NAMED:
        yield f"... and {len(failed) - MOST_NAMED} more that failed"


def trial_name(row: Row, words: Mapping[str, str]) -> str:
    """A trial in words: what varied, and its seed."""
    values = [words[key] for key, value in row.cell.items() if value is not None]
    return ", ".join([*(values or [row.folder.name]), f"seed {row.seed}"])
