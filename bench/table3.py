"""IteRand's Table 3 on real CIFAR-10: its cells as they stand, beside the paper's figures.

    python bench/table3.py FOLDER RUNS [--seeds 3] [--workers 10] [--out RESULTS.md] [NAME ...]

FOLDER holds the images as FOLDER/{train,test}/<class>/*.png, RUNS takes a run folder for each
cell of examples/iterand/table3.toml and seed. NAME: part of names such as conv6-rho0.5-sc-iterand;
default: Conv6 and ResNet-18 at widths 0.5 and 1. What the file leaves to the machine is set here:
bfloat16 autocast, channels_last, recorded steps. Runs go on side by side, each in a process of its
own that starts with the images in memory: first seed 1, the slowest cells first, then the other
seeds, the quickest first. Killed, the same command resumes them. RESULTS.md is written from
whatever is finished.
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
from prunekit.reports.reading import read_run
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.sweeps.study import read_study

STUDY = Path(__file__).parents[1] / "examples" / "iterand" / "table3.toml"
LAWS = {"signed-constant": "sc", "kaiming-uniform": "ku"}
SHARED = cache(Folder.load)
FAST = {"amp": "bf16", "channels_last": True, "cuda_graph": True, "checkpoint_every": 352 * 50}
HEAD = ("cell", "paper", "here", "n", "difference", "minutes a run")


@attrs.frozen
class NamedCell:
    """A cell of the table: its name, and its spec."""

    name: str
    spec: prunekit.Spec


def cells(names: list[str]) -> list[NamedCell]:
    """Table 3's cells: those asked for, the quick ones first."""
    wanted = names or [f"{net}-rho{rho}-" for net in ("conv6", "resnet18") for rho in ("0.5", "1")]
    study, plugins = read_study(STUDY), Plugins()
    found = []
    for cell, table in study.cells():
        name = f"{cell['net']}-rho{cell['arch.width']:g}-{LAWS[cell['init']]}-{cell['method']}"
        spec, figure = structure(table, plugins), study.figure_of(cell)
        published = figure.published if figure else spec.published
        found.append(NamedCell(name, attrs.evolve(spec, published=published)))
    found.sort(key=lambda one: one.name)
    return [one for name in wanted for one in found if name in one.name]


def train(folder: str, cell: NamedCell, seed: int, out: Path) -> None:
    """One run, or the rest of one; what stops it is printed, and the others go on."""
    torch.backends.cudnn.benchmark = True
    try:
        prunekit.resume(out) if (out / "spec.toml").is_file() else start(folder, cell, seed, out)
    except Exception:
        traceback.print_exc()


def start(folder: str, cell: NamedCell, seed: int, out: Path) -> None:
    plugins = Plugins()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options = FAST if device == "cuda" else {}
    spec = attrs.evolve(
        cell.spec, dataset=Folder(folder), seed=seed, device=device, observers=(),
        train=attrs.evolve(cell.spec.train, **options),
    )  # fmt: skip
    prunekit.run(spec, out, plugins=plugins)


def lines(runs: Path, chosen: list[NamedCell], seeds: int) -> Iterator[str]:
    """The table in Markdown, one line a cell of which a run is finished."""
    yield "| " + " | ".join(HEAD) + " |"
    yield "| --- " * len(HEAD) + "|"
    for cell in chosen:
        folders = [runs / f"table3-{cell.name}-s{seed}" for seed in range(1, seeds + 1)]
        done = [read_run(folder) for folder in folders if (folder / "summary.json").is_file()]
        if not done:
            continue
        accuracy = [100 * run.summary["test.accuracy"] for run in done]
        mean, paper = statistics.mean(accuracy), done[0].spec["published"]
        spread = f" ± {statistics.stdev(accuracy):.2f}" if len(done) > 1 else ""
        minutes = statistics.mean(run.summary["seconds"] for run in done) / 60
        published, std = 100 * paper["mean"], 100 * paper["std"]
        yield (
            f"| {cell.name} | {published:.2f} ± {std:.2f} | {mean:.2f}{spread} "
            f"| {len(done)} | {mean - published:+.2f} | {minutes:.1f} |"
        )


def written(runs: Path, chosen: list[NamedCell], seeds: int) -> str:
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
    chosen = cells(given.names)
    torch.set_num_threads(1)  # no threads before the fork
    Folder.load = SHARED  # type: ignore[method-assign]  # read once, before the fork
    Folder(given.folder).load()
    order = [(1, cell) for cell in reversed(chosen)]
    order += product(range(2, given.seeds + 1), chosen)
    work = [
        (given.folder, cell, seed, given.runs / f"table3-{cell.name}-s{seed}")
        for seed, cell in order
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
