"""The table R1-R22 of reliability: what was done, what came of it, and what was aimed at.

    python bench/trust.py [--short | --ci] [R1 R2 ...] [--out docs/results/trust.md]

Each row runs in a process and a folder of its own. All rows in full are written to
docs/results/trust.md. The full form takes over an hour, --ci about two and a half minutes of CPU.
Exit code 1 when a row misses its aim.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from datetime import date
from io import StringIO
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT), str(ROOT / "plugins")]

from trusted import (  # noqa: E402
    badplugins,
    badspecs,
    datasets,
    forks,
    hostile,
    kills,
    masks,
    memory,
    places,
    ranks,
    repeats,
    stops,
    versions,
)
from trusted.rows import Row  # noqa: E402

FORMS = ("full", "short", "ci")
SECONDS = 3600.0
"""The longest that a row may take."""


@attrs.frozen
class Case:
    """A row of the table. counts: how many cases in each form; 0 leaves the row out."""

    subject: str
    call: Callable[[int, Path], Row]
    counts: tuple[int, int, int]


ROWS: Mapping[str, Case] = {
    "R1": Case("crash-safe save", kills.resumed_after_kills, (50, 12, 1)),
    "R2": Case("exact resume", kills.random_specs_resumed, (100, 8, 1)),
    "R3": Case("run-to-run determinism", repeats.runs_agree, (5, 2, 1)),
    "R4": Case("golden trajectories", repeats.trajectories_agree, (20, 20, 20)),
    "R5": Case("bad scores", masks.bad_scores, (1000, 1000, 1000)),
    "R6": Case("exact budget", masks.exact_counts, (10_000, 2_000, 500)),
    "R7": Case("mask invariant", masks.masked_stay_zero, (1000, 250, 50)),
    "R8": Case("ranks agree", ranks.ranks_agree, (4, 4, 1)),
    "R9": Case("out of memory", memory.scored_in_little_memory, (6, 6, 2)),
    "R10": Case("untrusted files", hostile.nothing_executes, (20_000, 2_000, 60)),
    "R11": Case("bad plugins", badplugins.bad_plugins, (43, 43, 6)),
    "R12": Case("bad specs", badspecs.bad_specs, (400, 400, 20)),
    "R13": Case("signals", stops.signals, (50, 10, 1)),
    "R14": Case("requeue", stops.requeued, (2, 2, 1)),
    "R15": Case("full disk", places.full_disks, (20, 5, 1)),
    "R16": Case("starts at once", places.starts_at_once, (3, 1, 0)),
    "R17": Case("damaged data", datasets.damaged_data, (7, 7, 7)),
    "R18": Case("odd places", places.odd_places, (6, 6, 2)),
    "R19": Case("memory of a long run", memory.memory_is_flat, (2000, 400, 0)),
    "R20": Case("old files", versions.old_files, (100, 100, 2)),
    "R21": Case("oldest torch", versions.oldest_torch, (1, 1, 1)),
    "R22": Case("conformance kit", versions.built_ins, (100, 100, 5)),
}


def outcome(name: str, count: int) -> tuple[str, str, bool, float]:
    """Figure, aim, whether it is reached, and the seconds that a row took in its process."""
    started = time.perf_counter()
    place = Path(tempfile.mkdtemp(prefix=f"trust-{name}-"))
    try:
        figure, aim, passed = forks.answer(apart, name, count, place, seconds=SECONDS)
    except forks.Lost as lost:
        figure, aim, passed = str(lost), "an answer", False
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return figure, aim, passed, time.perf_counter() - started


def apart(name: str, count: int, place: Path) -> Row:
    """The row, in a group of processes that end with it."""
    os.setpgid(0, 0)
    os.chdir(place)
    warnings.simplefilter("ignore")
    try:
        with redirect_stdout(StringIO()):
            return ROWS[name].call(count, place)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)


def lines(form: str, found: Mapping[str, tuple[str, str, bool, float]]) -> list[str]:
    """The page of results."""
    import numpy
    import torch

    import prunekit

    versions = f"torch {torch.__version__}, NumPy {numpy.__version__}"
    versions += f", prunekit {prunekit.__version__}"
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    head = ["# What prunekit survives", "", f"    python bench/trust.py{flag(form)}", ""]
    head += [f"{date.today()}, {machine}, Python {platform.python_version()}, {versions}.", ""]
    head += ["| row | subject | figure | aim | reached | seconds |", "| --- " * 6 + "|"]
    return head + [
        f"| {name} | {ROWS[name].subject} | {figure} | {aim} | {word(passed)} | {seconds:.0f} |"
        for name, (figure, aim, passed, seconds) in found.items()
    ]


def flag(form: str) -> str:
    return "" if form == "full" else f" --{form}"


def word(passed: bool) -> str:
    return "yes" if passed else "NO"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; default: all")
    parser.add_argument("--short", action="store_const", const="short", dest="form")
    parser.add_argument("--ci", action="store_const", const="ci", dest="form")
    parser.add_argument("--out", type=Path, help="write the table here")
    given = parser.parse_args()
    unknown = sorted(set(given.rows) - set(ROWS))
    if unknown:
        parser.error(f"no row is named {unknown[0]!r}. On offer: {', '.join(ROWS)}")
    form = given.form or "full"
    forks.import_all()
    found = {}
    for name in given.rows or list(ROWS):
        count = ROWS[name].counts[FORMS.index(form)]
        if count:
            found[name] = figure, aim, passed, seconds = outcome(name, count)
            print(f"{name} {ROWS[name].subject}: {figure} [aim: {aim}] {word(passed)}, "
                  f"{seconds:.0f} s", flush=True)  # fmt: skip
    whole = form == "full" and not given.rows
    out = given.out or (ROOT / "docs" / "results" / "trust.md" if whole else None)
    if out:
        out.write_text("\n".join(lines(form, found)) + "\n")
    return 0 if all(passed for _, _, passed, _ in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
