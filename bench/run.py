"""CPU time and peak memory of prunekit, each beside its named alternative. Asserts nothing.

    python bench/run.py [NAME ...] [--repeats 3] [--threads 1]

Both sides of a case run in turn, each time in a fresh process; shown are medians of process CPU
time, the peak memory that the measured call added, and the ratio of the times. Where small
differences count, both sides take turns in one process: shown is the median of the ratios of a
turn, and no memory. Large blocks are kept by malloc on both sides, else page faults drown a
training step.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from steps import MALLOC

ROOT = Path(__file__).parents[1]
KEEPS_BLOCKS = "-step"  # part of the names of these cases
SIDES = ("ours", "theirs")


def cpu_seconds() -> float:
    """CPU time of this process and of its finished children."""
    return sum(
        sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def peak_bytes() -> int:
    return 1024 * max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def all_cases() -> Mapping[str, Callable[[], Any]]:
    from cases import CASES
    from parts import PARTS

    return {**CASES, **PARTS}


def measure(name: str, side: str, threads: int) -> dict[str, float] | dict[str, list[float]]:
    """One measurement of a side, or those of all turns of both, in this process."""
    import torch

    torch.set_num_threads(threads)
    case = all_cases()[name]()
    if case.turns:
        return in_turns(case)
    call = getattr(case, side)()
    memory, before = peak_bytes(), cpu_seconds()
    call()
    return {"seconds": cpu_seconds() - before, "bytes": peak_bytes() - memory}


def in_turns(case: Any) -> dict[str, list[float]]:
    """CPU seconds of each side in each turn; the first does not count."""
    calls = {side: getattr(case, side)() for side in SIDES}
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    for turn in range(case.turns + 1):
        for side in SIDES[:: 1 if turn % 2 else -1]:
            start = time.process_time()
            calls[side]()
            taken[side].append(time.process_time() - start)
    return {side: times[1:] for side, times in taken.items()}


def measured_apart(name: str, side: str, threads: int) -> dict[str, float]:
    """One measurement, in a process of its own."""
    paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment |= {"OMP_NUM_THREADS": str(threads), **(MALLOC if KEEPS_BLOCKS in name else {})}
    command = [sys.executable, __file__, name, "--side", side, "--threads", str(threads)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, repeats: int, threads: int) -> tuple[str, ...]:
    """The columns of a case."""
    case = all_cases()[name]()
    if case.turns:
        times = measured_apart(name, SIDES[0], threads)
        a, b = (statistics.median(times[side]) for side in SIDES)
        ratio, added = statistics.median(x / y for x, y in zip(*times.values())), ["", ""]
    else:
        runs = [[measured_apart(name, side, threads) for side in SIDES] for _ in range(repeats)]
        a, b = (statistics.median(run["seconds"] for run in side) for side in zip(*runs))
        memory = [statistics.median(run["bytes"] for run in side) for side in zip(*runs)]
        ratio, added = a / b, [f"{each / 1e6:.0f}" for each in memory]
    each = [f" ({1e9 * t / case.weights:.1f} ns)" if case.weights else "" for t in (a, b)]
    ours, theirs = (f"{t:.3g}{ns}" for t, ns in zip((a, b), each))
    return name, ours, added[0], case.beside, theirs, added[1], f"{ratio:.3g}"


def compare(names: Sequence[str], repeats: int, threads: int) -> None:
    """Measure the sides of each case in turn and print the table."""
    from rich.console import Console
    from rich.table import Table

    from prunekit.draws import philox

    words = "compiled" if philox.compiled else "NumPy's"
    table = Table(title=f"CPU time, {threads} thread(s), median of {repeats}, {words} Philox")
    for column in ("case", "prunekit s", "added MB", "alternative", "s", "added MB", "ratio"):
        table.add_column(column, justify="left" if column in ("case", "alternative") else "right")
    for name in names:
        table.add_row(*row(name, repeats, threads))
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases; default: all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(measure(given.names[0], given.side, given.threads)))
        return
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]
    names = list(all_cases())
    unknown = sorted(set(given.names) - set(names))
    if unknown:
        parser.error(f"no case is named {unknown[0]!r}. On offer: {', '.join(names)}")
    compare(given.names or names, given.repeats, given.threads)


if __name__ == "__main__":
    main()
