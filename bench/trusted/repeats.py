"""R3 and R4: the same spec gives the same bits in any process, by any number of loaders."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import soak
import torch
from torch import Tensor, nn
from trusted.images import write_folder
from trusted.rows import Row

import prunekit
from tests import trajectories as golden

ROOT = Path(__file__).resolve().parents[2]
STREAMED = """
observers = []
device = "cpu"
seed = {seed}
arch = {{ name = "cifar", model = "conv2", width = 0.05 }}
dataset = {{ name = "folder", path = "{images}", memory = 0 }}
scorer = "snip"
sampler = "sketch"
reinit = {{ name = "iterand", rate = 0.3 }}
prune = {{ density = 0.2, batch_size = 16 }}
rounds = {{ count = 2 }}
train = {{ epochs = 2, batch_size = 8, lr = 0.05, keep_checkpoints = true }}
data = {{ augment = "flip-crop", workers = {workers} }}
"""


def runs_agree(count: int, place: Path) -> Row:
    """R3: two interpreters with other hash seeds; 1 and 4 loader workers."""
    write_folder(place / "images", classes=3, train=24, test=6)
    wrong = []
    for seed in range(count):
        found = [finished(place / f"{seed}-{n}", place / "images", seed, n) for n in (1, 4)]
        wrong += [f"seed {seed}" for a, b in [found] if a != b]
    figure = f"{count - len(wrong)} of {count} pairs bitwise" + "".join(f"; {w}" for w in wrong)
    return figure, f"{count} of {count}, CPU", not wrong


def finished(out: Path, images: Path, seed: int, workers: int) -> dict[str, Any]:
    """What a run in a new interpreter leaves."""
    spec = out.with_suffix(".toml")
    spec.write_text(STREAMED.format(images=images, seed=seed, workers=workers))
    in_new_interpreter(["-m", "prunekit", "run", str(spec), "--out", str(out)], workers)
    return soak.left_by(out)


def in_new_interpreter(arguments: list[str], hash_seed: int) -> str:
    """What `python ARGUMENTS` prints."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins"), str(ROOT / "bench")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    environment["PYTHONHASHSEED"] = str(hash_seed)
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    return done.stdout


def trajectories_agree(count: int, place: Path) -> Row:
    """R4: 100 losses and the masks of each scorer are those stored in tests/golden."""
    stored = json.loads(golden.GOLDEN.read_text("utf-8"))
    names = sorted({*golden.scorers(), *stored})[:count]
    wrong = [name for name in names if stored.get(name) != golden.trajectory(name)]
    figure = f"{len(names) - len(wrong)} of {len(names)} scorers, {golden.STEPS} losses and masks"
    return figure + "".join(f"; {w} differs" for w in wrong), "every scorer, exact", not wrong


def net() -> nn.Module:
    """Convolutions, norms and a linear layer; its weights are drawn."""
    layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
    layers += [nn.Conv2d(8, 8, 3, stride=2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10)]
    model = nn.Sequential(*layers)
    prunekit.initialize(model, "kaiming-normal", seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.copy_(torch.linspace(0.1, 1, len(parameter)))
    return model


def examples(count: int = 4, size: int = 32) -> list[tuple[Tensor, Tensor]]:
    """Batches of noise with labels, by a generator of their own."""
    rng = torch.Generator().manual_seed(5)
    return [
        (torch.randn(size, 1, 8, 8, generator=rng), torch.arange(size) % 10) for _ in range(count)
    ]


def digest(tensors: dict[str, Tensor]) -> str:
    """sha256 over names and values."""
    whole = hashlib.sha256()
    for name, tensor in tensors.items():
        whole.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()
