"""IteRand's Table 3 on real CIFAR-10: the recipes as they stand, beside the paper's figures.

    python bench/table3.py FOLDER RUNS [--seeds 3] [--workers 10] [--out RESULTS.md] [NAME ...]

FOLDER holds the images as FOLDER/{train,test}/<class>/*.png, RUNS takes a run folder for each
recipe and seed. NAME: part of recipes' names; default: Conv6 and ResNet-18 at widths 0.5 and 1.
What a recipe leaves to the machine is set here: bfloat16 autocast, channels_last, recorded steps.
Runs go on side by side, each in a process of its own that starts with the images in memory: first
seed 1, the slowest recipes first, then the other seeds, the quickest first. Killed, the same
command resumes them. RESULTS.md is written from whatever is finished.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import statistics
import traceback
from collections.abc import Iterator
from datetime import date
from functools import cache
from itertools import product
from pathlib import Path

import attrs
import torch
from prunekit_plugins.folder import Folder

import prunekit
from prunekit.reports.report import read_run
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.storage.texts import read_toml

RECIPES = Path(__file__).parents[1] / "examples" / "iterand" / "table3"
SHARED = cache(Folder.load)
FAST = {"amp": "bf16", "channels_last": True, "cuda_graph": True, "checkpoint_every": 352 * 50}
HEAD = ("recipe", "paper", "here", "n", "difference", "minutes a run")


def recipes(names: list[str]) -> list[Path]:
    """Table 3's recipes: those asked for, the quick ones first."""
    wanted = names or [f"{net}-rho{rho}-" for net in ("conv6", "resnet18") for rho in ("0.5", "1")]
    found = sorted(RECIPES.glob("*.toml"))
    return [path for name in wanted for path in found if name in path.name]


def train(folder: str, recipe: Path, seed: int, out: Path) -> None:
    """One run, or the rest of one; what stops it is printed, and the others go on."""
    torch.backends.cudnn.benchmark = True
    try:
        prunekit.resume(out) if (out / "spec.toml").is_file() else start(folder, recipe, seed, out)
    except Exception:
        traceback.print_exc()


def start(folder: str, recipe: Path, seed: int, out: Path) -> None:
    plugins = Plugins()
    spec = structure(read_toml(recipe), plugins)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options = FAST if device == "cuda" else {}
    spec = attrs.evolve(
        spec, dataset=Folder(folder), seed=seed, device=device, observers=(),
        train=attrs.evolve(spec.train, **options),
    )  # fmt: skip
    prunekit.run(spec, out, plugins=plugins)


def lines(runs: Path, chosen: list[Path], seeds: int) -> Iterator[str]:
    """The table in Markdown, one line a recipe of which a run is finished."""
    yield "| " + " | ".join(HEAD) + " |"
    yield "| --- " * len(HEAD) + "|"
    for recipe in chosen:
        folders = [runs / f"table3-{recipe.stem}-s{seed}" for seed in range(1, seeds + 1)]
        done = [read_run(folder) for folder in folders if (folder / "summary.json").is_file()]
        if not done:
            continue
        accuracy = [100 * run.summary["test.accuracy"] for run in done]
        mean, paper = statistics.mean(accuracy), done[0].spec["published"]
        spread = f" ± {statistics.stdev(accuracy):.2f}" if len(done) > 1 else ""
        minutes = statistics.mean(run.summary["seconds"] for run in done) / 60
        published, std = 100 * paper["mean"], 100 * paper["std"]
        yield (
            f"| {recipe.stem} | {published:.2f} ± {std:.2f} | {mean:.2f}{spread} "
            f"| {len(done)} | {mean - published:+.2f} | {minutes:.1f} |"
        )


def written(runs: Path, chosen: list[Path], seeds: int) -> str:
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    title = (
        f"# IteRand, Table 3, on CIFAR-10\n\n{date.today()}, {where}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, prunekit {prunekit.__version__}. "
        "Test accuracy in % after the last epoch, mean ± standard deviation over seeds.\n"
    )
    return "\n".join([title, *lines(runs, chosen, seeds), ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("runs", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    chosen = recipes(given.names)
    torch.set_num_threads(1)  # no threads before the fork
    Folder.load = SHARED  # type: ignore[method-assign]  # read once, before the fork
    Folder(given.folder).load()
    order = [(1, recipe) for recipe in reversed(chosen)]
    order += product(range(2, given.seeds + 1), chosen)
    work = [
        (given.folder, recipe, seed, given.runs / f"table3-{recipe.stem}-s{seed}")
        for seed, recipe in order
    ]
    context = multiprocessing.get_context("fork")
    with context.Pool(given.workers, maxtasksperchild=1) as pool:
        pool.starmap(train, work, chunksize=1)
    text = written(given.runs, chosen, given.seeds)
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
