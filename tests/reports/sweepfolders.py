"""Folders of sweeps as tests need them, written by hand: no run is run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

LAYERS = [
    {"name": "conv.weight", "shape": [2, 1, 3, 3], "total": 18, "kept": 9, "density": 0.5},
    {"name": "fc.weight", "shape": [10, 2], "total": 20, "kept": 2, "density": 0.1},
]
PAPER = {
    "source": "Paper, Table 1", "metric": "test.accuracy", "mean": 0.976, "std": 0.002, "n": 20,
}  # fmt: skip


@attrs.define
class SweepFolder:
    """A sweep's folder that grows trial by trial."""

    path: Path
    trials: list[dict[str, Any]] = attrs.field(factory=list)

    def add(self, cell: Mapping[str, Any], seed: int = 0, **facts: Any) -> Path:
        """A trial: done with these numbers, or as `state` says. published: of its cell.

        state: "done", "begun", "new", or (code, reason) of a failed one.
        """
        number = f"{len(self.trials):010x}"
        labels = "-".join(str(value) for value in cell.values()) or "cell"
        trial = {"id": number, "folder": f"{labels}/seed-{seed}", "cell": dict(cell), "seed": seed}
        if published := facts.pop("published", None):
            trial["published"] = published
        self.trials.append(trial)
        state, folder = facts.pop("state", "done"), self.path / str(trial["folder"])
        folder.parent.mkdir(parents=True, exist_ok=True)
        if state != "new":
            write_run(folder, facts, seed=seed, done=state == "done")
        if isinstance(state, tuple):
            failed = {"code": state[0], "reason": state[1], "attempts": 1}
            folder.with_name(f"{folder.name}.failed.json").write_text(json.dumps(failed))
        self.write()
        return folder

    def cell(self, cell: Mapping[str, Any], accuracies: Sequence[float], **facts: Any) -> None:
        """A done trial for each of these accuracies, by seeds from 0 on."""
        for seed, accuracy in enumerate(accuracies):
            self.add(cell, seed, **{"test.accuracy": accuracy}, **facts)

    def write(self, **changes: Any) -> None:
        study = {"format": 1, "prunekit": "0.2.0", "threads": 1, "name": self.path.name}
        study |= {"axes": {}, "trials": self.trials, "left_out": [], "orphaned": []}
        (self.path / "sweep.json").write_text(json.dumps(study | changes))


def write_run(folder: Path, facts: Mapping[str, Any], *, seed: int = 0, done: bool = True) -> Path:
    """A run folder with these numbers in its summary; threads, device: of its environment."""
    facts = {"seed": seed, **facts}
    own = {key: facts.pop(key) for key in ("threads", "device") if key in facts}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.toml").write_text(facts.pop("spec", "") or f"seed = {seed}\n")
    if done:
        (folder / "summary.json").write_text(json.dumps(facts))
        (folder / "components.json").write_text(json.dumps({"environment": {"threads": 1} | own}))
        (folder / "layers.json").write_text(json.dumps(LAYERS))
    curve = [0.5 * facts.get("test.accuracy", 0.5), facts.get("test.accuracy", 0.5)]
    lines = [{"kind": "epoch", "epoch": n, "test.accuracy": a} for n, a in enumerate(curve, 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
