"""`prune` over the networks of three libraries: is the share that is kept the one that was asked?

    python docs/library.py [NAME ...]          prints a table; without names docs/library.md too

Counted is what the network multiplies with (operands.py), before and after, never what prunekit
says of itself.
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import library_models
import torch
from operands import Weights
from torch import Tensor, nn

import prunekit
from prunekit import PrunekitError

PAGE = Path(__file__).parent / "library.md"
SCORERS = ("magnitude", "snip", "synflow", "row-norm")
DENSITY = 0.2


def call(model: nn.Module, inputs: Any) -> Any:
    return model(inputs) if isinstance(inputs, Tensor) else model(**inputs)


@torch.no_grad()
def apart(model: nn.Module) -> None:
    """No weight is 0 by chance or by init, so that a zero is a pruned one, and no two are alike."""
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.ndim > 1:
            zero = parameter == 0
            parameter.mul_(1 + torch.rand(parameter.shape) / 8)
            parameter[zero] = torch.randn(int(zero.sum())) / 100


def told(make: Any, scorer: str) -> str:
    """What became of pruning one network by one scorer."""
    torch.manual_seed(0)
    model, data = make()
    apart(model.eval())
    one, other = data(1), data(2)
    weights = Weights.of(model, lambda: call(model, one), lambda: call(model, other))
    batch = (one, torch.tensor([0, 3])) if isinstance(one, Tensor) else one
    try:
        masks = prunekit.prune(model, scorer, density=DENSITY, batches=[batch])
    except PrunekitError as error:
        return f"refused: {error}"
    unseen = sum(masks[name].numel() for name in masks.survey.unreached)
    kept_unseen = sum(int(masks[name].sum()) for name in masks.survey.unreached)
    total, kept = weights.total + unseen, weights.nonzero() + kept_unseen
    wanted = round(DENSITY * total)
    if kept != wanted and weights.repeated:
        return "not told: rows of a table are multiplied, some of them never"
    if kept != wanted:
        return f"wrong: {kept:,} of {total:,} kept, not {wanted:,}"
    return f"exact, {unseen:,} never reached" if unseen else "exact"


def rows(names: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    for library, name, make in library_models.every():
        if names and name not in names:
            continue
        results = []
        for scorer in SCORERS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results.append(told(make, scorer))
            gc.collect()
        yield library, name, results


def page(table: list[tuple[str, str, list[str]]]) -> str:
    counts = Counter(result.split(",")[0].split(":")[0] for *_, line in table for result in line)
    lines = [
        "# Networks of three libraries, pruned",
        "",
        f"`prune(model, scorer, density={DENSITY})` with random weights and two examples.",
        "Exact: of all that the network multiplies with, counted from its operands by",
        "`docs/operands.py`, which knows nothing of prunekit, exactly so many are not zero. Never",
        "reached: weights that no pass uses (auxiliary heads), which are masked too. Weights",
        "that are 0 at the start were given small values, so that each zero is a pruned one.",
        "",
        f"{len(table)} networks: "
        + ", ".join(f"{n} {what}" for what, n in counts.most_common())
        + ".",
        f"Made by `python docs/library.py` with {versions()}.",
        "",
        f"| library | network | {' | '.join(SCORERS)} |",
        f"| --- | --- | {' | '.join('---' for _ in SCORERS)} |",
        *(f"| {library} | {name} | {' | '.join(line)} |" for library, name, line in table),
    ]
    return "\n".join(lines) + "\n"


def versions() -> str:
    from importlib.metadata import version

    names = ("torch", "torchvision", "timm", "transformers")
    return ", ".join(f"{name} {version(name).partition('+')[0]}" for name in names)


def main(names: list[str]) -> None:
    table = []
    for library, name, results in rows(names):
        table.append((library, name, results))
        print(library, name, *results, sep=" | ", flush=True)
    if not names:
        PAGE.write_text(page(table), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
