"""Times on a CUDA device, each beside its named alternative. Asserts nothing.

    python bench/gpu.py [NAME ...] [--repeats 7]

Shown are wall-clock milliseconds between two waits for the device, the median of the repeats
(steps: of epochs of 100), and the ratio. Both sides run in turn, in one process, after a warm-up.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from learned_steps import STEPS, dense_steps, learned_scores, learned_steps
from rich.console import Console
from rich.table import Table
from torch import nn

import prunekit
from prunekit.draws.chance import fill
from prunekit.training.kept import Kept

Call = Callable[[], object]
Sides = tuple[Call, str, Call, int]
"""Ours, the alternative's name, the alternative, and how many units one call does."""

GPU = torch.device("cuda", 0)
BF16 = {"amp": "bf16", "channels_last": True}


def net(model: str = "resnet18") -> nn.Module:
    return prunekit.component("arch", "cifar", model=model).build((3, 32, 32), 10)


def popup(batch: int, init: str, **given: object) -> Sides:
    ours = learned_steps(net(), batch, init, GPU, **given)
    return ours, "dense step, same loop", dense_steps(net(), batch, GPU, **given), STEPS


def recorded(batch: int) -> Sides:
    ours = dense_steps(net(), batch, GPU, cuda_graph=True, **BF16)
    return ours, "not recorded", dense_steps(net(), batch, GPU, **BF16), STEPS


def redraw(init: str, rate: float = 0.1) -> Sides:
    """One event over all layers, half of the weights pruned, beside torch.rand and torch.where."""
    owner = learned_scores(net(), init, "iterand", GPU)
    with torch.no_grad():
        masks = {name: score >= 0 for name, score in owner.scores.items()}
    kept = Kept({}, drawn=masks)
    weights = {name: torch.randn_like(score) for name, score in owner.scores.items()}

    def theirs() -> None:
        for name, w in weights.items():
            fresh, chosen = torch.empty_like(w).uniform_(-0.1, 0.1), torch.rand_like(w) < rate
            w.copy_(torch.where(chosen & ~masks[name], fresh, w))

    ours = partial(owner.redraws.redraw, kept, owner.network, owner.frozen)
    return torch.no_grad()(ours), "torch.rand, torch.where", torch.no_grad()(theirs), 1


def drawn(count: int = 10_000_000) -> Sides:
    out, values = torch.zeros(count, device=GPU), prunekit.Uniform(0.1)
    ours = partial(fill, out, values, 0, "bench", "w")
    return ours, "torch.Tensor.uniform_", partial(out.uniform_, -0.1, 0.1), 1


def thresholds() -> Sides:
    owner = learned_scores(net(), "kaiming-uniform", "none", GPU)
    ranked = {name: score.detach() for name, score in owner.scores.items()}

    def theirs() -> None:
        for score in ranked.values():
            score.view(-1).sort()

    return partial(owner.sampler.kept, ranked, "step", 0), "torch.sort of each layer", theirs, 1


CASES: Mapping[str, Callable[[], Sides]] = {
    "popup-128": partial(popup, 128, "kaiming-uniform"),
    "popup-signs-128": partial(popup, 128, "signed-constant"),
    "popup-128-bf16": partial(popup, 128, "kaiming-uniform", **BF16),
    "popup-signs-128-bf16": partial(popup, 128, "signed-constant", **BF16),
    "popup-128-graph": partial(popup, 128, "kaiming-uniform", cuda_graph=True, **BF16),
    "popup-1024-bf16": partial(popup, 1024, "kaiming-uniform", **BF16),
    "graph-128": partial(recorded, 128),
    "redraw": partial(redraw, "kaiming-uniform"),
    "redraw-signs": partial(redraw, "signed-constant"),
    "thresholds": thresholds,
    "draws": drawn,
}


def milliseconds(call: Call) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    title = f"{torch.cuda.get_device_name()}, torch {torch.__version__}, median of {given.repeats}"
    table = Table("case", "prunekit ms", "alternative", "ms", "ratio", title=title)
    for name in given.names or CASES:
        ours, other, theirs, units = CASES[name]()
        milliseconds(ours), milliseconds(theirs)
        times = [(milliseconds(ours), milliseconds(theirs)) for _ in range(given.repeats)]
        a, b = (statistics.median(side) / units for side in zip(*times))
        table.add_row(name, f"{a:.3f}", other, f"{b:.3f}", f"{a / b:.3g}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
