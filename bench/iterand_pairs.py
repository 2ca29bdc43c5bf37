"""IteRand against edge-popup on Conv6, width 0.25: paired over seeds, the budget stated first.

    python bench/iterand_pairs.py FOLDER --out RESULTS.md

FOLDER holds CIFAR-10 images as FOLDER/{train,test}/<class>/*.png. The budget is far below the
paper's 100 epochs of 45,000 images; the number of redraw events (about 117) is the paper's.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
from datetime import date
from pathlib import Path

import torch

import prunekit
from prunekit import DataOptions, Spec, Train

SEEDS = (1, 2, 3)


def spec(folder: str, seed: int, redraws: bool, epochs: int, period: int) -> Spec:
    return Spec(
        arch={"name": "cifar", "model": "conv6", "width": 0.25},
        dataset={"name": "folder", "path": folder},
        scorer="edge-popup",
        reinit={"name": "iterand", "rate": 0.1, "period": period} if redraws else "none",
        init="signed-constant",
        observers=(),
        seed=seed,
        data=DataOptions(augment="flip-crop"),
        train=Train(epochs=epochs, batch_size=128, lr=0.3, weight_decay=1e-4, rate_per="epoch"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--period", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    images = {s: len(list(Path(given.folder, s).glob("*/*.png"))) for s in ("train", "test")}
    lines = [
        "# IteRand against edge-popup, Conv6 at width 0.25, CPU",
        "",
        f"Budget, fixed before the runs: {images['train']:,} training and {images['test']:,} test "
        f"images of CIFAR-10, {given.epochs} epochs, batch 128, SGD lr 0.3 momentum 0.9 weight "
        "decay 1e-4, cosine by epoch, flip and shifted crop; signed-constant weights, p = 0.5 in "
        f"each layer, IteRand r = 0.1 every {given.period} steps; seeds 1-3; test accuracy of the "
        "last epoch.",
        "",
        f"{date.today()}, {platform.machine()}, {torch.get_num_threads()} thread(s), Python "
        f"{platform.python_version()}, torch {torch.__version__}, prunekit {prunekit.__version__}.",
        "",
        "| seed | edge-popup | IteRand | difference |",
        "| --- | --- | --- | --- |",
    ]
    differences = []
    for seed in SEEDS:
        found = []
        for redraws in (False, True):
            with tempfile.TemporaryDirectory() as out:
                run = prunekit.run(
                    spec(given.folder, seed, redraws, given.epochs, given.period), Path(out, "run")
                )
            found.append(run.summary["test.accuracy"])
        differences.append(found[1] - found[0])
        lines.append(f"| {seed} | {found[0]:.4f} | {found[1]:.4f} | {differences[-1]:+.4f} |")
        print(lines[-1], flush=True)
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5
    lines += ["", f"Paired difference: {mean:+.4f} ± {error:.4f} (standard error, n = 3)."]
    print(lines[-1])
    if given.out:
        given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
