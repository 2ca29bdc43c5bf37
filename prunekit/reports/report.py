"""What a reader sees of a run in the terminal. Reads JSON and TOML only; imports no torch."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunekit.errors import printable
from prunekit.reports import papers
from prunekit.reports.reading import Run, read_run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NO_FASTER = (
    "A mask alone makes nothing faster: pruned weights are zeros that dense kernels still multiply."
)
LAYER_KEYS = (
    *("name", "shape", "kept", "total", "density", "dead"),
    *("score_min", "score_mean", "score_max"),
)
LABELS = {
    "empty": "empty layers",
    "dead": "kept but dead",
    "bad_files": "bad image files left out",
    "redraw_events": "redraw events",
    "redraws": "redraws of single weights",
    "redrawn": "weights ever redrawn",
    "redrawn_kept": "redrawn and kept",
    "redrawn_share": "share of kept redrawn",
    "redrawn_zeros": "redrawn for being all zero",
}
NOT_LISTED = (
    "masks_sha256",
    "cold_seconds",
    "published",
    "survey",
    "left_out",
)  # long, or told apart
SHOWN_LAYERS = 40
SHOWN_ROUNDS = 8
WIDE = 250  # columns of a pipe or file: no cell is cut
NARROW = 20  # columns below which cells would be lost: a narrower terminal wraps the lines
DEAD = "{} kept weights are dead: nothing flows through them from input to output"
FEW = 3  # redraw events in a training, below which the reader is told
FEW_REDRAWS = (
    "redraw events in the whole training: {}, at a reinit.period of {} steps; a smaller one, or "
    "more train.epochs, gives more"
)
INEXACT = "asked for density {}, kept {}: the sampler is inexact by its own rule"
EMPTY = "layer collapse: {} keeps no weight{}; --prune.min-per-layer 1 keeps it alive"


def waiting(text: str) -> AbstractContextManager[Any]:
    """While it is open, a terminal shows that something goes on; on stderr."""
    from rich.console import Console

    return Console(stderr=True).status(text)


def console() -> Console:
    """Standard output; rich obeys NO_COLOR, and a pipe gets plain wide lines."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDE
    made = Console(width=width, highlight=False, markup=False, soft_wrap=False)
    made.width = max(made.width, NARROW)
    return made


def print_lines(lines: Sequence[str]) -> None:
    """Lines of plain text, never cut or wrapped."""
    for line in lines:
        console().print(printable(line), soft_wrap=True)


def widths_of(keys: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Terminal columns that each column of a table takes, its margin included."""
    cells = [[key, *(spelled(row[number]) for row in rows)] for number, key in enumerate(keys)]
    return [max(map(len, column)) + 3 for column in cells]


def fitting(keys: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> list[str]:
    """`keys` without the last ones whose columns do not fit `width`; name and kept stay."""
    widths = dict(zip(keys, widths_of(keys, rows)))
    left = list(keys)
    for key in reversed(keys):
        if sum(widths[one] for one in left) <= width:
            break
        if key not in ("name", "kept"):
            left.remove(key)
    return left


def make_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A table with text on the left and numbers on the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    head = any(columns)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=head)
    for number, name in enumerate(columns):
        numeric = any(isinstance(row[number], int | float) for row in rows)
        table.add_column(printable(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(spelled(cell)) for cell in row))
    return table


def spelled(value: Any) -> str:
    """A cell: 12,345; 0.1234; conv1.weight; "-" for what is not known."""
    return printable(_spelled(value))


def _spelled(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        if any(isinstance(part, float) for part in value):
            return ", ".join(map(spelled, value))
        return "×".join(map(str, value)) or "-"
    return str(value)


def layer_table(layers: Sequence[Mapping[str, Any]]) -> Table:
    """Kept and total weights, density and scores of each layer; long lists are cut."""
    keys = [key for key in LAYER_KEYS if any(row.get(key) is not None for row in layers)]
    keys = fitting(keys, [[row.get(key) for key in keys] for row in layers], console().width - 2)
    rows = [[row.get(key) for key in keys] for row in layers]
    if len(rows) > SHOWN_LAYERS:
        hidden, half = len(rows) - SHOWN_LAYERS, SHOWN_LAYERS // 2
        rows = [*rows[:half], [f"... {hidden} more", *[""] * (len(keys) - 1)], *rows[-half:]]
    return make_table("layers", [key.replace("_", " ") for key in keys], rows)


def summary_table(summary: Mapping[str, Any]) -> Table:
    return make_table("summary", ["", ""], summary_rows(summary))


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Every number of summary.json; lists are counted, redraws where there were any."""
    listed = {k: v for k, v in summary.items() if k not in NOT_LISTED}
    rows = [(LABELS.get(k, k), _brief(v)) for k, v in listed.items() if v or "redr" not in k]
    return [row for row in rows if row[1] is not None]


def _brief(value: Any) -> Any:
    """Shapes and numbers as they are, lists of names by their length."""
    names = isinstance(value, list) and (not value or isinstance(value[0], str))
    return len(value) if names else value


def show(folder: str | Path) -> None:
    """Print a run: its tables and folder, and what a mask does not do; or how far it is."""
    run, out = read_run(folder), console()
    if run.layers:
        out.print(layer_table(run.layers))
    if run.summary:
        out.print(summary_table(run.summary))
        if paper := papers.beside(run.published, run.summary):
            out.print(make_table("published", ["", ""], paper))
        print_lines([*remarks(run), f"run folder: {run.folder}"])
    else:
        print_lines([progress_line(run.lines)])
        print_lines([f"not finished; `prunekit resume {run.folder}` continues it"])


def remarks(run: Run) -> list[str]:
    """What a reader of a finished run's tables must know: collapse, dead weights, few redraws."""
    causes = causes_of_collapse(run.layers)
    unseen = [line for line in run.summary.get("left_out", []) if "never reached" in line]
    unseen = [line.partition(" ")[0] for line in unseen]
    empty = [name for name in run.summary.get("empty", []) if name not in unseen]
    dead = run.summary.get("dead")
    return [
        *(EMPTY.format(name, causes.get(name, "")) for name in empty),
        *another_share(run.summary, len(run.layers)),
        *([DEAD.format(spelled(dead))] if dead else []),
        *survey_lines(run.summary),
        *few_redraws(run.summary.get("redraw_events"), run.spec),
        NO_FASTER,
    ]


def another_share(summary: Mapping[str, Any], layers: int) -> list[str]:
    """A line where another share than asked was kept: by more than a weight a layer and 1 %."""
    asked, kept, total = (summary.get(key) for key in ("asked", "kept", "maskable"))
    if asked is None or kept is None or not total:
        return []
    if abs(kept - asked * total) <= max(layers, asked * total / 100):
        return []
    return [INEXACT.format(spelled(asked), spelled(kept / total))]


def survey_lines(facts: Mapping[str, Any]) -> list[str]:
    """What is maskable in one line, and the matrices that are not; many are cut."""
    left = facts.get("left_out", [])
    shown = [f"matrix {text}" for text in left[:SHOWN_LAYERS]]
    more = [f"... {len(left) - SHOWN_LAYERS} more"] if len(left) > SHOWN_LAYERS else []
    return [*filter(None, [facts.get("survey")]), *shown, *more]


def few_redraws(events: int | None, spec: Mapping[str, Any]) -> list[str]:
    """A line where the redraws inside training are too few to matter; none between rounds."""
    reinit = spec.get("reinit")
    period = reinit.get("period") if isinstance(reinit, dict) else None
    if events is None or period is None or events >= FEW:
        return []
    return [FEW_REDRAWS.format(events, period)]


def causes_of_collapse(layers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Layer -> how its largest score compares with those of the layers that kept weights."""
    alive = sorted(row["score_max"] for row in layers if row.get("score_max") and row["kept"])
    if not alive:
        return {}
    middle = alive[len(alive) // 2]
    return {
        row["name"]: f" (its largest score {row['score_max']:.2g}; {middle:.2g} in a middle layer)"
        for row in layers
        if row.get("score_max") is not None and not row["kept"]
    }


def progress_line(lines: Sequence[Mapping[str, Any]]) -> str:
    """The last metrics line in words."""
    if not lines:
        return "no round and no epoch is done"
    numbers = (f"{k} {spelled(v)}" for k, v in lines[-1].items() if isinstance(v, int | float))
    return f"last {lines[-1].get('kind', 'line')}: " + ", ".join(numbers)


def print_plan(plan: Mapping[str, Any]) -> None:
    """What `--dry-run` shows: layers, numbers, and the resolved spec."""
    out = console()
    keys = ("name", "shape", "weights", "maskable")
    out.print(make_table("layers", keys, [[row.get(k) for k in keys] for row in plan["layers"]]))
    numbers = [(k, v) for k, v in plan.items() if isinstance(v, int | float)]
    out.print(make_table("plan", ["", ""], numbers))
    counts = [f"{count:,}" for count in plan.get("kept", ())]
    if len(counts) > SHOWN_ROUNDS:
        counts = [*counts[:3], "...", *counts[-3:]]
    schedule = ", ".join(counts)
    print_lines(survey_lines(plan))
    print_lines([f"kept after each round: {schedule or 'everything; nothing is masked'}"])
    spec = str(plan.get("spec", "")).rstrip()
    print_lines([*few_redraws(plan.get("redraw_events"), tomllib.loads(spec)), ""])
    print_lines(spec.splitlines())
