"""How the batch construction of "Logarithmic Pruning" grows with the width. Asserts nothing.

    python bench/oracle.py [--widths 100,200,400] [--method batch] [--repeats 1]

The target has three layers n-n-n-10 of normal weights with spectral norm 1; eps = delta = 0.01.
Each width runs in fresh processes, on one thread; shown are medians of process CPU time and of the
peak memory that the call added. The last line gives the exponents of both between all widths, by
least squares on the logarithms.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
COLUMNS = ("width", "CPU s", "added MB", "sampled", "of theorem's", "kept", "certified error")


def measure(width: int, method: str) -> dict[str, float]:
    """One construction, in this process."""
    import torch

    from prunekit.theory import oracle_prune

    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    drawn = [
        torch.randn(n_out, n_in, generator=rng, dtype=torch.float64)
        for n_in, n_out in ((width, width), (width, width), (width, 10))
    ]
    matrices = [matrix / torch.linalg.matrix_norm(matrix, 2) for matrix in drawn]
    oracle_prune([[[0.5]]], generator=rng)  # what is loaded on first use
    memory, start = resource.getrusage(resource.RUSAGE_SELF), os.times()
    pruned = oracle_prune(matrices, method=method, generator=rng)
    end, peak = os.times(), resource.getrusage(resource.RUSAGE_SELF)
    assert pruned.success
    return {
        "seconds": end.user + end.system - start.user - start.system,
        "bytes": 1024 * (peak.ru_maxrss - memory.ru_maxrss),
        "sampled": sum(pruned.sampled),
        "share": pruned.counts["sampled_share"],
        "kept": sum(pruned.used),
        "certified": pruned.sup_error,
    }


def measured_apart(width: int, method: str) -> dict[str, float]:
    """One construction, in a process of its own."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--one", str(width), "--method", method]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def exponent(widths: Sequence[int], values: Sequence[float]) -> float:
    """The slope of log(value) against log(width)."""
    return statistics.linear_regression(*([math.log(x) for x in xs] for xs in (widths, values)))[0]


def table(widths: Sequence[int], method: str, repeats: int) -> None:
    from rich.console import Console
    from rich.table import Table

    shown, rows = Table(title=f"n-n-n-10, method {method}, median of {repeats}"), []
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    for width in widths:
        runs = [measured_apart(width, method) for _ in range(repeats)]
        row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        rows.append(row)
        shown.add_row(str(width), f"{row['seconds']:.2f}", f"{row['bytes'] / 1e6:.0f}",
                      f"{row['sampled']:,.0f}", f"{row['share']:.2%}", f"{row['kept']:,.0f}",
                      f"{row['certified']:.1e}")  # fmt: skip
    Console().print(shown)
    if len(widths) > 1:
        slopes = [exponent(widths, [row[key] for row in rows]) for key in ("seconds", "bytes")]
        print("time grows as width^{:.2f}, memory as width^{:.2f}".format(*slopes))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--widths", default="100,200,400")
    parser.add_argument("--method", choices=("batch", "recycle"), default="batch")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.method)))
        return
    table([int(width) for width in given.widths.split(",")], given.method, given.repeats)


if __name__ == "__main__":
    main()
