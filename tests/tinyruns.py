"""What the tests of runs share: a tiny data set, a net that can be made to die, and comparisons."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

import prunekit
from prunekit import Data, DataOptions, Prune, PrunekitError, Rounds, Spec, Split, Train
from prunekit.resolve.plugins import Plugins
from prunekit.runs.running import Result, resume, run
from prunekit.storage.checkpoints import load_checkpoint
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.tensorfile import read_tensors


class Died(PrunekitError):
    """What a fuse raises: the process is gone, as far as the run knows; no plugin is to blame."""


class Fuse:
    """Calls `action` at the n-th tick from now; every forward pass and metrics line ticks."""

    def __init__(self) -> None:
        self.left, self.ticks, self.action = 0, 0, die

    def burn(self, after: int, action: Callable[[], None] | None = None) -> None:
        self.left, self.ticks, self.action = after, 0, action or die

    def tick(self) -> None:
        self.left, self.ticks = self.left - 1, self.ticks + 1
        if self.left == 0:
            self.action()


def die() -> None:
    raise Died("the fuse has burnt down")


FUSE = Fuse()  # one for the process: the net is built anew by each run and must find it


class Fused(nn.Module):
    """A module that ticks the fuse in each forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        FUSE.tick()
        return x


@attrs.frozen
class FusedNet:
    """Convolution, batch norm, dropout and two linear layers."""

    dropout: float = prunekit.option(0.2, help="probability")

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Sequential(
            Fused(),
            nn.Conv2d(input_shape[0], 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(self.dropout),
            nn.Linear(4 * input_shape[1] * input_shape[2], 12),
            nn.ReLU(),
            nn.Linear(12, classes),
        )


@attrs.frozen
class TinyData:
    """36 training and 12 test images of 4 x 4 pixels in three classes."""

    def load(self) -> Data:
        rng = torch.Generator().manual_seed(0)
        images = torch.randint(256, (48, 1, 4, 4), generator=rng, dtype=torch.uint8)
        labels = torch.arange(48) % 3
        images[labels == 1] //= 2
        images[labels == 2] //= 4
        return Data(
            train=Split(images[:36], labels[:36]),
            test=Split(images[36:], labels[36:]),
            classes=3,
            input_shape=(1, 4, 4),
            mean=(0.3,),
            std=(0.25,),
        )


class Watcher:
    """An observer that ticks the fuse at each metrics line."""

    def start(self, plan: Mapping[str, Any]) -> None:
        """Nothing to do."""

    def record(self, line: Mapping[str, Any]) -> None:
        FUSE.tick()

    def finish(self, summary: Mapping[str, Any]) -> None:
        FUSE.tick()


@prunekit.hookimpl
def prunekit_observers() -> list[Any]:
    return [Watcher()]


def plugins() -> Plugins:
    """The built-in plugins and this file as the plugin "fuse"."""
    import sys

    offered = Plugins()
    offered.add(sys.modules[__name__], "fuse")
    return offered


def tiny_spec(**changes: Any) -> Spec:
    """One-shot random pruning of the fused net, one epoch of three steps, unless changed.

    A mapping changes single options of a section: train={"epochs": 2}.
    """
    spec = Spec(
        arch=FusedNet(),
        dataset=TinyData(),
        scorer="magnitude",
        sampler="topk",
        observers=("fuse",),
        device="cpu",
        prune=Prune(density=0.3),
        rounds=Rounds(count=1),
        train=Train(epochs=1, batch_size=12, lr=0.05, keep_checkpoints=True),
        data=DataOptions(augment="flip-crop"),
    )
    for name, change in changes.items():
        if isinstance(change, dict) and "name" not in change:
            change = attrs.evolve(getattr(spec, name), **change)
        spec = attrs.evolve(spec, **{name: change})
    return spec


def learned_spec(**changes: Any) -> Spec:
    """The fused net's scores learned over signed constants, redrawn every second step."""
    given: dict[str, Any] = {
        "scorer": "edge-popup",
        "init": "signed-constant",
        "reinit": {"name": "iterand", "period": 2, "rate": 0.5},
        "rounds": {"count": None},
    }
    return tiny_spec(**(given | changes))


def run_tiny(spec: Spec, out: Path) -> Result:
    return run(spec, out, plugins=plugins())


def resume_tiny(out: Path, **options: Any) -> Result:
    return resume(out, plugins=plugins(), **options)


def finish_in_pieces(
    spec: Spec, out: Path, after: int, action: Callable[[], None] | None = None
) -> int:
    """Run `spec`, which dies every `after` ticks, resume it until it is done; returns the deaths.

    A piece that saved nothing new would die for ever: the next one lives a tick longer.
    """
    deaths = 0
    while True:
        FUSE.burn(after + deaths // 20, action)
        try:
            if RunFolder(out).holds_run():
                resume_tiny(out)
            else:
                run_tiny(spec, out)
            return deaths
        except (Died, prunekit.PrunekitError) as error:
            if not isinstance(error, Died) and getattr(error, "exit_code", 0) < 130:
                raise
            deaths += 1


def left_by(out: Path) -> dict[str, Any]:
    """Everything of a finished run that must be the same bit by bit, however often it died."""
    folder = RunFolder(out)
    state, position = load_checkpoint(folder.checkpoints, folder.spec_hash) or ({}, {})
    return {
        "model": read_tensors(folder.model)[0],
        "masks": folder.masks.read_bytes(),
        "scale": folder.scale.read_bytes() if folder.scale.exists() else b"",
        "draws": folder.draws.read_bytes() if folder.draws.exists() else b"",
        "rounds": {str(p.relative_to(out)): p.read_bytes() for p in kept_in(folder)},
        "layers": json.loads(folder.layers.read_text()),
        "state": state,
        "position": timeless({k: v for k, v in position.items() if k != "metrics_bytes"}),
        "metrics": [timeless(line) for line in folder.lines()],
        "summary": timeless(folder.read_summary()),
    }


def kept_in(folder: RunFolder) -> list[Path]:
    """The files of rounds that were kept."""
    return sorted(path for path in folder.rounds.rglob("*") if path.is_file())


def timeless(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if not key.endswith("seconds")}


def assert_same(first: Any, second: Any, where: str = "") -> None:
    """Equal in every bit; tensors too."""
    if isinstance(first, dict):
        assert list(first) == list(second), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, Tensor):
        assert first.dtype == second.dtype, where
        assert torch.equal(first, second), where
    else:
        assert first == second, where
