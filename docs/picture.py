"""Accuracy against density of three methods on digits: `python docs/picture.py [RUNS]`.

Trains the sweep below, five seeds each (about four minutes of one core), below the folder RUNS (a
temporary one if not given; runs that are done there are read), writes what came out to
docs/results/digits.json, and draws docs/assets/densities.png. `python docs/generate.py` makes the
tables of it.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
FACTS = DOCS / "results" / "digits.json"
PICTURE = DOCS / "assets" / "densities.png"
METHODS = {"synflow": "SynFlow", "snip": "SNIP", "random": "random"}
DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
SEEDS = range(5)
COLORS = {"synflow": "#1f6feb", "snip": "#d9622b", "random": "#8b949e"}


def sweep(folder: Path) -> dict[str, Any]:
    """Every run: method -> density -> test accuracies (0-1) by seed, and where it was made."""
    import torch

    import prunekit

    torch.set_num_threads(1)  # tiny nets gain nothing from more
    accuracy = {
        method: {str(d): [one(folder, method, d, seed) for seed in SEEDS] for d in DENSITIES}
        for method in METHODS
    }
    accuracy["dense"] = {"1.0": [one(folder, "random", 1.0, seed) for seed in SEEDS]}
    where = f"{platform.machine()} CPU, Python {platform.python_version()}"
    made = f"{where}, torch {torch.__version__}, prunekit {prunekit.__version__}"
    return {"made": made, "accuracy": accuracy}


def one(folder: Path, method: str, density: float, seed: int) -> float:
    """The test accuracy of one run, made now unless it is there."""
    import prunekit
    from prunekit.reports.reading import read_run

    spec = prunekit.Spec(
        arch="mlp",
        scorer=method,
        sampler="topk",
        seed=seed,
        prune=prunekit.Prune(density=density),
        train=prunekit.Train(epochs=10),
        observers=(),
    )
    place = folder / f"{method}-{density}-{seed}"
    if not (place / "summary.json").is_file():
        prunekit.run(spec, place)
    return float(read_run(place).summary["test.accuracy"])


def facts() -> dict[str, Any]:
    """What the sweep gave, as committed."""
    found: dict[str, Any] = json.loads(FACTS.read_text("utf-8"))
    return found


def cell(values: list[float]) -> str:
    """Mean ± sample standard deviation, in %."""
    return f"{100 * statistics.fmean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def rows(densities: tuple[float, ...] = DENSITIES) -> list[tuple[str, ...]]:
    """A row for each density: test accuracy in % of each method, and n."""
    accuracy = facts()["accuracy"]
    return [
        (f"{100 * density:g} %", *(cell(accuracy[method][str(density)]) for method in METHODS),
         str(len(SEEDS)))
        for density in densities
    ]  # fmt: skip


def draw(accuracy: Mapping[str, Mapping[str, list[float]]]) -> None:
    """One line a method, a band of one standard deviation, the dense network dashed."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator, PercentFormatter

    from prunekit.reports.plots import figure

    made = figure(7.2, 3.9)
    axes = made.subplots()
    dense = statistics.fmean(accuracy["dense"]["1.0"])
    axes.axhline(dense, color="#57606a", linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate("dense", (0.5, dense), xytext=(0, 4), textcoords="offset points", ha="right",
                  fontsize=9, color="#57606a")  # fmt: skip
    for method, label in METHODS.items():
        means = [statistics.fmean(accuracy[method][str(d)]) for d in DENSITIES]
        spread = [statistics.stdev(accuracy[method][str(d)]) for d in DENSITIES]
        low, high = ([m + s * sign for m, s in zip(means, spread)] for sign in (-1, 1))
        axes.fill_between(DENSITIES, low, high, color=COLORS[method], alpha=0.15, linewidth=0)
        axes.plot(DENSITIES, means, color=COLORS[method], marker="o", markersize=4.5, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(DENSITIES))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{100 * d:g} %" for d in DENSITIES]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set(ylim=(0, 1.05), xlabel="weights kept", ylabel="test accuracy")
    axes.set_title("MLP on digits, pruned before training, five seeds", fontsize=10.5, loc="left")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    PICTURE.parent.mkdir(exist_ok=True)
    made.savefig(PICTURE, format="png", dpi=160, metadata={"Software": None})


def main(runs: str | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        found = sweep(Path(runs or temporary))
    FACTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(found["accuracy"])


if __name__ == "__main__":
    main(*(sys.argv[1:] or [None]))
