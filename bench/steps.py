"""A step of edge-popup on the CPU, beside the dense step of the same loop. Asserts nothing.

    python bench/steps.py [8 32 ...] [--epochs 12] [--threads 1]

ResNet-18 for 32x32 images; the numbers are batch sizes. Dense, edge-popup with Kaiming-uniform
weights and edge-popup with signed constants train in turn in one process, short epochs of random
images each, and every optimizer step is timed by itself (process CPU time); what the end of an
epoch costs, when the masks are made and counted, stands in a column of its own; so does what of a
step goes into thresholds, masked weights and gradients of the scores, which scatters far less than
the rest. Shown are medians; the ratio is the median, with the quartiles, of each step's time over
that of the dense step at the same place of the same turn. Large blocks are kept by malloc, else
page faults drown a step.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[1]
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "16000000000"}
STEPS = 6  # an epoch


@attrs.define(eq=False)
class Clocked:
    """An owner whose part of each step is timed, in CPU seconds: masks before, gradients after."""

    owner: Any
    spent: list[float] = attrs.field(factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.owner, name)

    def before_step(self, step: int) -> None:
        start = time.process_time()
        self.owner.before_step(step)
        self.spent.append(time.process_time() - start)

    def after_backward(self) -> None:
        start = time.process_time()
        self.owner.after_backward()
        self.spent[-1] += time.process_time() - start


def timed_epoch(training: Any) -> tuple[list[float], float]:
    """CPU seconds of each step of one epoch but the last, and of the end with that last step."""
    marks = [time.process_time()]
    training.run_epoch(lambda: marks.append(time.process_time()))
    *steps, end = (b - a for a, b in zip(marks, [*marks[1:], time.process_time()]))
    return steps, end


def sides(batch: int, epochs: int) -> dict[str, Any]:
    """The trainings that take turns."""
    from cases import network
    from learned_steps import CPU, Noise, learned_scores, training

    from prunekit.training.masked import MaskedWeights

    noise, made = Noise.of(batch, CPU, STEPS), {}
    net = network("resnet18")
    made["dense"] = training(net, Clocked(MaskedWeights.of(net, {}, CPU)), noise, CPU, epochs)
    for init in ("kaiming-uniform", "signed-constant"):
        net = network("resnet18")
        made[init] = training(net, Clocked(learned_scores(net, init)), noise, CPU, epochs)
    return made


def measure(batch: int, epochs: int, row: Callable[..., None]) -> None:
    """One row for each side."""
    turns = sides(batch, epochs + 1)
    for each in turns.values():
        timed_epoch(each)  # all is warm
    taken: dict[str, list[float]] = {name: [] for name in turns}
    ends: dict[str, list[float]] = {name: [] for name in turns}
    for turn in range(epochs):
        for name in list(turns)[:: 1 if turn % 2 else -1]:
            steps, end = timed_epoch(turns[name])
            taken[name] += steps
            ends[name].append(end - statistics.median(steps))
    for name, steps in taken.items():
        ratios = [ours / dense for ours, dense in zip(steps, taken["dense"])]
        low, middle, high = statistics.quantiles(ratios, n=4)
        shown = f"{middle:.3f} ({low:.3f}-{high:.3f})" if name != "dense" else ""
        columns = steps, turns[name].owner.spent, ends[name]
        milliseconds = [f"{1e3 * statistics.median(times):.1f}" for times in columns]
        row(str(batch), name, *milliseconds, shown, str(len(steps)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("batches", nargs="*", type=int, metavar="BATCH", default=[8, 32])
    parser.add_argument("--epochs", type=int, default=12, help=f"turns, of {STEPS} steps each")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if not MALLOC.items() <= os.environ.items():  # malloc reads them when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MALLOC})
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]
    import torch
    from rich.console import Console
    from rich.table import Table

    torch.set_num_threads(given.threads)
    title = f"CPU time, {given.threads} thread(s), torch {torch.__version__}"
    columns = "batch", "weights", "step ms", "of it masks", "end ms", "ratio (quartiles)", "n"
    table = Table(*columns, title=title)
    for batch in given.batches:
        measure(batch, given.epochs, table.add_row)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
