"""CPU time and peak memory of prunekit, each beside its named alternative. Asserts nothing.

    python bench/run.py [NAME ...] [--repeats 3] [--threads 1]

Both sides of a case run in turn, each time in a fresh process; shown are medians of process CPU
time, the peak memory that the measured call added, and the ratio of the times. Large blocks are
kept by malloc on both sides, else page faults drown a training step.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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


def measure(name: str, side: str, threads: int) -> dict[str, float]:
    """One measurement, in this process."""
    import torch
    from cases import CASES

    torch.set_num_threads(threads)
    call = getattr(CASES[name](), side)()
    memory, before = peak_bytes(), cpu_seconds()
    call()
    return {"seconds": cpu_seconds() - before, "bytes": peak_bytes() - memory}


def measured_apart(name: str, side: str, threads: int) -> dict[str, float]:
    """One measurement, in a process of its own."""
    paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment |= {"OMP_NUM_THREADS": str(threads), **(MALLOC if KEEPS_BLOCKS in name else {})}
    command = [sys.executable, __file__, name, "--side", side, "--threads", str(threads)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(names: Sequence[str], repeats: int, threads: int) -> None:
    """Measure the sides of each case in turn and print the table."""
    from cases import CASES
    from rich.console import Console
    from rich.table import Table

    from prunekit.draws import philox

    words = "compiled" if philox.compiled else "NumPy's"
    table = Table(title=f"CPU time, {threads} thread(s), median of {repeats}, {words} Philox")
    for column in ("case", "prunekit s", "added MB", "alternative", "s", "added MB", "ratio"):
        table.add_column(column, justify="left" if column in ("case", "alternative") else "right")
    for name in names:
        runs = {side: [] for side in SIDES}
        for _ in range(repeats):
            for side in SIDES:
                runs[side].append(measured_apart(name, side, threads))
        (a, ma), (b, mb) = (
            [statistics.median(run[key] for run in runs[side]) for key in ("seconds", "bytes")]
            for side in SIDES
        )
        row = (f"{a:.3f}", f"{ma / 1e6:.0f}", CASES[name]().beside, f"{b:.3f}", f"{mb / 1e6:.0f}")
        table.add_row(name, *row, f"{a / b:.3g}")
    Console().print(table)


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
    from cases import CASES

    unknown = sorted(set(given.names) - set(CASES))
    if unknown:
        parser.error(f"no case is named {unknown[0]!r}. On offer: {', '.join(CASES)}")
    compare(given.names or list(CASES), given.repeats, given.threads)


if __name__ == "__main__":
    main()
