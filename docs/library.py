"""`prune` over the networks of seven libraries: is the share that is kept the one that was asked?

    python docs/library.py [NAME ...] > ROWS   a row of each network as it is measured
    python docs/library.py --page ROWS ...     docs/library.md of such rows

It wants diffusers, segmentation-models-pytorch and torch-geometric beside the dev extra.
Counted is what the network multiplies with (operands.py), before and after, never what prunekit
says of itself.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import library_models
import library_more
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


def named(name: str, make: Any) -> str:
    """The same for an adapter, whose parameters are known by name."""
    model, data = make()
    apart(model.eval())
    wanted = library_more.named(name, model)
    masks = prunekit.prune(model, "magnitude", density=DENSITY, batches=[data(1)])
    kept, total = sum(int(m.sum()) for m in masks.values()), sum(m.numel() for m in masks.values())
    if set(masks) != wanted or kept != round(DENSITY * total):
        return f"wrong: {sorted(set(masks) ^ wanted)}, {kept:,} of {total:,} kept"
    return "exact, by name"


def rows(names: list[str]) -> Iterator[list[str]]:
    """[library, network, what became of it by each scorer] of all, or of those named."""
    for library, name, make in library_models.every():
        if not names or name in names:
            yield [library, name, *(quietly(told, make, scorer) for scorer in SCORERS)]
    for library, name, make in library_more.every():
        if names and name not in names:
            continue
        if name in library_more.BY_NAME:
            yield [library, name, quietly(named, name, make)]
        else:
            yield [library, name, quietly(told, make, "magnitude")]


def quietly(ask: Callable[..., str], *args: Any) -> str:
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ask(*args)


def page(table: list[list[str]]) -> str:
    """The page of rows as `rows` gives them."""
    counts = Counter(result.split(",")[0].split(":")[0] for line in table for result in line[2:])
    four = [line for line in table if len(line) > 3]
    one = [line for line in table if len(line) == 3]
    lines = [
        "# Networks of libraries, pruned",
        "",
        f"`prune(model, scorer, density={DENSITY})` with random weights and two examples.",
        "Exact: of all that the network multiplies with, counted from its operands by",
        "`docs/operands.py`, which knows nothing of prunekit, exactly so many are not zero. Never",
        "reached: weights that no pass uses (auxiliary heads), which are masked too. Weights",
        "that are 0 at the start were given small values, so that each zero is a pruned one.",
        "By name: adapters whose factors are multiplied with each other, where operands cannot be",
        "counted; masked are exactly the weights under them and the factors that",
        "`docs/library_more.py` names.",
        "",
        f"{len(table)} of the {listed()} networks that the script lists are measured: "
        + ", ".join(f"{n} {what}" for what, n in counts.most_common())
        + ".",
        f"Rows of `python docs/library.py`, not all of one commit, with {versions()}.",
        "",
        *rules(["library", "network", *SCORERS], four),
        "",
        "## More networks, by magnitude",
        "",
        *rules(["library", "network", "magnitude"], one),
    ]
    return "\n".join(lines) + "\n"


def listed() -> int:
    return sum(1 for module in (library_models, library_more) for _ in module.every())


def rules(head: list[str], table: list[list[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *table)]


def versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    names = ("torch", "torchvision", "timm", "transformers", "diffusers", "peft")
    found = []
    for name in (*names, "segmentation-models-pytorch", "torch-geometric"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name).partition('+')[0]}")
    return ", ".join(found)


def main(names: list[str]) -> None:
    if names[:1] == ["--page"]:
        text = "".join(Path(name).read_text("utf-8") for name in names[1:])
        PAGE.write_text(page([line.split(" | ") for line in text.splitlines()]), "utf-8")
        return
    for line in rows(names):
        print(*line, sep=" | ", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
