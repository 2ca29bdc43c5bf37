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
from prunekit.resolve.plugins import Plugins

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
STEPS = 100


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
    """R4: the stored losses and masks of each scorer, or, where none are stored, two processes."""
    tests = sorted((ROOT / "tests").rglob("test_*trajector*.py"))
    if tests:
        said = in_new_interpreter(["-m", "pytest", "-q", "-n", "0", *map(str, tests)], 0)
        return f"stored ones: {said.splitlines()[-1].strip('= ')}", "all exact", True
    program = "from trusted.repeats import *; import json; print(json.dumps(trajectories({})))"
    first, second = (
        json.loads(in_new_interpreter(["-c", program.format(count)], seed).splitlines()[-1])
        for seed in (1, 2)
    )
    wrong = [name for name in first if first[name] != second[name]]
    figure = f"{len(first) - len(wrong)} of {len(first)} scorers, {STEPS} losses and masks"
    return figure + " in two processes (none stored)", "every scorer, exact", not wrong


def trajectories(count: int) -> dict[str, list[str]]:
    """Scorer -> the digest of its masks, and STEPS losses in hexadecimal."""
    torch.set_num_threads(1)
    names = [name for name, cls in Plugins().components("scorer").items() if hasattr(cls, "score")]
    return {name: trajectory(name) for name in names[:count]}


def trajectory(scorer: str) -> list[str]:
    model, batches = net(), examples()
    masks = prunekit.prune(
        model, scorer, density=0.3, batches=batches, input_shape=(1, 8, 8), seed=1
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    masks.hold(model, optimizer)
    losses = []
    for step in range(STEPS):
        images, labels = batches[step % len(batches)]
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item().hex())
    return [masks.digest(), *losses]


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
