"""Studies written by hand: sweep.json and run folders as a sweep leaves them, of any size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

SPEC = """\
seed = {seed}
device = "cpu"

[scorer]
name = "{method}"

[prune]
density = {density}
"""
SHAPES = {"1.weight": [300, 64], "3.weight": [100, 300], "5.weight": [10, 100]}


def write_study(
    folder: Path,
    methods: Iterable[str] = ("random", "snip", "synflow"),
    densities: Iterable[float] = (0.5, 0.1),
    seeds: int = 3,
    failing: Iterable[str] = (),
    **more: Any,
) -> Path:
    """A sweep over methods, densities and seeds; those of `failing` methods end with exit code 6.

    Accuracies fall with the density, and rise with the number of the method. more: further keys
    of sweep.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trials = []
    for (rank, method), density, seed in product(enumerate(methods), densities, range(seeds)):
        name = f"{rank}-{density:g}-{len(trials):06x}/seed-{seed}"
        cell = {"method": method, "prune.density": density}
        trials.append({"id": f"{len(trials):010x}", "folder": name, "cell": cell, "seed": seed})
        run = folder / name
        if method in failing:
            write_failure(run, method)
        else:
            write_run(run, method, density, seed, accuracy(rank, density, seed))
    axes = {"method": [*methods], "prune.density": [*densities]}
    study = {"format": 1, "name": folder.name, "threads": 1, "axes": axes, "trials": trials}
    study |= {"left_out": [], "orphaned": []}
    (folder / "sweep.json").write_text(json.dumps(study | more))
    (folder / "sweep.toml").write_text("[axes]\nmethod = []\n")
    return folder


def accuracy(rank: int, density: float, seed: int) -> float:
    """Made up: 0.98 for a dense network, less for a sparser one, seeds 0.004 apart."""
    return 0.98 - (0.012 - 0.002 * rank) * (1 / density) ** 0.7 + 0.004 * (seed - 1)


def write_failure(run: Path, method: str) -> None:
    run.parent.mkdir(parents=True, exist_ok=True)
    told = {"code": 6, "reason": f"{method}: the loss is NaN at step 12", "attempts": 1}
    run.with_name(f"{run.name}.failed.json").write_text(json.dumps(told))
    lines = [f"epoch {number}: loss {number * 3.0:.1f}" for number in range(1, 40)]
    log = "\n".join([*lines, told["reason"]]) + "\n"
    run.with_name(f"{run.name}.log").write_bytes(log.encode("utf-8", "replace"))


def write_run(run: Path, method: str, density: float, seed: int, reached: float) -> Path:
    """A finished run of a small network; below a density of 0.05 its middle layer is empty."""
    run.mkdir(parents=True)
    layers = [_layer(name, shape, density, density < 0.05) for name, shape in SHAPES.items()]
    kept, total = (sum(row[key] for row in layers) for key in ("kept", "total"))
    summary = {
        "test.loss": 1 - reached,
        "test.accuracy": reached,
        "density": kept / total,
        "asked": density,
        "kept": kept,
        "maskable": total,
        "parameters": total + 410,
        "seconds": 1.5,
        "seed": seed,
        "empty": [row["name"] for row in layers if not row["kept"]],
        "dead": sum(row["dead"] for row in layers),
    }
    record = {
        "scorer": _component(method),
        "environment": {"python": "3.11.7", "torch": "2.14.1", "threads": 1, "device": "cpu"},
    }
    lines = [_line(epoch, reached) for epoch in range(1, 6)]
    (run / "spec.toml").write_text(
        SPEC.format(seed=seed, method=method if method.isidentifier() else "other", density=density)
    )
    (run / "layers.json").write_text(json.dumps(layers))
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "components.json").write_text(json.dumps(record))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def _layer(name: str, shape: list[int], density: float, sparse: bool) -> Mapping[str, Any]:
    total = shape[0] * shape[1]
    kept = 0 if sparse and name == "3.weight" else round(total * density)
    scores = {"score_min": 0.001, "score_mean": 0.1, "score_max": 3.5}
    dead = kept // 10 if name == "5.weight" else 0
    facts = {"total": total, "kept": kept, "density": kept / total, "dead": dead}
    return {"name": name, "shape": shape, **facts, **scores}


def _component(name: str) -> Mapping[str, str]:
    return {"name": name, "package": "prunekit", "version": "0.2.0", "sha256": "d8" * 32}


def _line(epoch: int, reached: float) -> Mapping[str, Any]:
    part = 1 - 0.5**epoch
    measured = {"train.loss": 1 - part * reached, "test.accuracy": part * reached}
    return {"kind": "epoch", "epoch": epoch, **measured, "test.loss": 1 - part * reached}
