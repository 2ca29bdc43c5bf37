"""R9 and R19: too little memory is met in parts or by exit code 3; a long run takes no more."""

from __future__ import annotations

import json
import os
import re
import resource
import time
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from trusted.forks import answer, command, started
from trusted.kills import to_text
from trusted.rows import Row

import prunekit

SCORERS = ("snip", "synflow", "grasp", "iter-snip", "force", "row-norm")
BATCH, ROOM = 768, 160_000_000
"""Examples in the batch, and bytes that scoring may add; the whole batch needs more."""
ROOMS = {"row-norm": ROOM // 2}
"""For a scorer that takes no gradients."""
PAGE = resource.getpagesize()
ROUNDS = 20
Scored = dict[str, list[float]]
"""The scores of each layer."""


def scored_in_little_memory(count: int, place: Path) -> Row:
    """R9: six scorers under RLIMIT_AS: in parts, within 1e-6 of the whole, or exit code 3.

    In float64. In float32 the whole batch is off by rounding too; both distances from the scores
    of float64 are told, and parts may be no further off than ten times the whole.
    """
    said, wrong = [], []
    for scorer in SCORERS[:count]:
        room = ROOMS.get(scorer, ROOM)
        exact = answer(scores, scorer, "float64", 0)
        single = answer(scores, scorer, "float32", 0)
        found, passed = told(answer(scores, scorer, "float64", 2 * room), exact, 1e-6)
        off = largest(exact, single)
        less, also = told(answer(scores, scorer, "float32", room), exact, max(1e-6, 10 * off))
        said.append(f"{scorer} {found} (float32 {less}, its whole batch {off:.1e})")
        wrong += [] if passed and also else [scorer]
    aim = "float64 in parts within 1e-6, or exit 3 with the size"
    return ", ".join(said), aim, not wrong


def told(found: Scored | str, exact: Scored, most: float) -> tuple[str, bool]:
    """Words for scores found in little memory, or for the error; whether that may be."""
    if isinstance(found, str):
        return ("exit 3", True) if refused(found) else (f"FAILS: {found}", False)
    off = largest(exact, found)
    return f"{off:.1e}", off <= most


def largest(whole: Scored, parts: Scored) -> float:
    """The largest distance of a layer."""
    return max(distance(whole[name], parts[name]) for name in whole)


def refused(line: str) -> bool:
    """Whether an error is that of memory and names a size."""
    return line.startswith("3 ") and re.search(r"\d+ *(bytes|[KMG]i?B)", line) is not None


def distance(whole: list[float], parts: list[float]) -> float:
    """The largest difference, relative to the largest score of the layer."""
    a, b = torch.tensor(whole).double(), torch.tensor(parts).double()
    return float((a - b).abs().max() / a.abs().max())


def scores(scorer: str, dtype: str, room: int) -> Scored | str:
    """Scores by layer with so much room for memory (0: all there is), or the error and its code.

    In little room they must have been computed in parts, of which a warning tells.
    """
    torch.set_num_threads(1)
    model = wide_net().to(getattr(torch, dtype))
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, 24, 24, generator=rng).to(getattr(torch, dtype))
    batch = images, torch.arange(BATCH) % 10
    prunekit.score(deepcopy(model), scorer, batches=[(images[:8], batch[1][:8])])  # imports all
    if room:
        used = PAGE * int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = prunekit.score(model, scorer, batches=[batch])
    except prunekit.PrunekitError as error:
        return f"{error.exit_code} {error}"
    except (MemoryError, RuntimeError) as error:
        return f"traceback {type(error).__name__}: {str(error)[:80]}"
    if room and not any("parts" in str(warning.message) for warning in said):
        return "the whole batch fits: less room, please"
    return {name: numbers(score) for name, score in found.items()}


def numbers(score: Tensor) -> list[float]:
    return [float(value) for value in score.detach().reshape(-1).tolist()]


def wide_net() -> nn.Module:
    """Few weights and large activations."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)]
    layers += [nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)]
    model = nn.Sequential(*layers)
    prunekit.initialize(model, "kaiming-normal", seed=3)
    return model


def memory_is_flat(count: int, place: Path) -> Row:
    """R19: resident memory over so many steps in 20 levels, after the second."""
    epochs = max(1, count // (ROUNDS * 20))
    spec: dict[str, Any] = {"observers": [], "device": "cpu", "dataset": "digits"}
    spec |= {"arch": {"name": "mlp", "hidden": [64]}, "scorer": "snip", "sampler": "topk"}
    spec |= {"rounds": {"count": ROUNDS, "epochs": epochs}, "prune": {"density": 0.05}}
    spec["train"] = {"epochs": epochs, "batch_size": 72, "lr": 0.05}
    (place / "spec.toml").write_text(to_text(spec))
    pid = started(command, "run", place / "spec.toml", "--out", place / "run", log=place / "log")
    early, late, code = watched(pid, place / "run" / "metrics.jsonl")
    growth = late / early - 1 if early else 1.0
    figure = f"{100 * growth:+.2f} % of {early / 1e6:.0f} MB, exit {code}"
    return figure, f"under 1 % after level 2, {count} steps", growth < 0.01 and code == 0


def watched(pid: int, metrics: Path) -> tuple[int, int, int]:
    """Most resident bytes in levels 3 to 6 and in the last 4, and the exit code."""
    most = {"early": 0, "late": 0}
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return most["early"], most["late"], os.waitstatus_to_exitcode(status)
        level = rounds_in(metrics)
        part = "early" if 2 <= level < 6 else "late" if ROUNDS - 4 <= level < ROUNDS else ""
        if part:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            most[part] = max(most[part], PAGE * pages)
        time.sleep(0.02)


def rounds_in(metrics: Path) -> int:
    """How many rounds a file of metrics has whole lines of."""
    if not metrics.exists():
        return 0
    whole = metrics.read_text().rpartition("\n")[0].splitlines()
    return sum(json.loads(line)["kind"] == "round" for line in whole)
