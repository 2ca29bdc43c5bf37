"""A third-party plugin of every kind on disk, with one line of it replaced by a test."""

from __future__ import annotations

from pathlib import Path

from prunekit.cli.entry import main
from tests.packages import install

CODE = '''
"""Components of every kind, each as small as can be."""
import os
import attrs
import torch
import prunekit
from torch import nn


class Left(BaseException):
    """What no `except Exception` sees."""


class Split:
    """A stream of 12 images of 4 x 4."""
    def __len__(self):
        return 12
    def __getitem__(self, index):
        "at item"
        return torch.full((1, 4, 4), index % 3 * 80, dtype=torch.uint8)


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, classes))
    def forward(self, x):
        "at forward"
        if torch.is_grad_enabled():
            "at training"
        return self.inner(x)


def converted(value):
    "at converter"
    return value


@attrs.frozen
class Scorer:
    """Scores by size."""
    reads = "nothing"
    power: int = attrs.field(default=1, converter=converted)
    def __attrs_post_init__(self):
        "at post_init"
    @property
    def suggests(self):
        "at suggests"
        return {}
    def score(self, network, batches, rng):
        "at score"
        return {name: w.abs() for name, w in network.weights.items()}


@attrs.frozen
class Gradients:
    """Scores by gradient, so that the model's forward is called by a scorer."""
    def score(self, network, batches, rng):
        gradient = prunekit.loss_gradient(network, batches, "eval")
        return {name: (w * gradient[name]).abs() for name, w in network.weights.items()}


@attrs.frozen
class Learned:
    """Scores that are learned."""
    def initial(self, network, rng):
        "at initial"
        return {name: torch.rand(w.shape, generator=rng) for name, w in network.weights.items()}
    def rank(self, score):
        "at rank"
        return score.abs()


@attrs.frozen
class Sampler:
    """Keeps the largest."""
    def sample(self, scores, budget, rng):
        "at sample"
        return prunekit.Sampled(budget.best(scores))


@attrs.frozen
class Reinit:
    """Redraws nothing."""
    def reinit(self, network, law, rng):
        "at reinit"
        return {}


@attrs.frozen
class Init:
    """Weights in [-1, 1)."""
    def draw(self, layer, rng):
        "at draw"
        return torch.rand(layer.shape, generator=rng) * 2 - 1


@attrs.frozen
class Counted:
    """Weights in [-1, 1] by counter."""
    def quantile(self, layer):
        "at quantile"
        return prunekit.Uniform(1.0)


@attrs.frozen
class Arch:
    """Two linear layers."""
    def build(self, input_shape, classes):
        "at build"
        return Net(classes)


@attrs.frozen
class Dataset:
    """12 images in three classes."""
    def load(self):
        "at load"
        labels = torch.arange(12) % 3
        images = (80 * labels).byte().view(12, 1, 1, 1).expand(12, 1, 4, 4).clone()
        split = prunekit.Split(images, labels)
        return prunekit.Data(
            train=split, test=split, classes=3, input_shape=(1, 4, 4), mean=(0.5,), std=(0.5,)
        )


@attrs.frozen
class Streamed:
    """The same, read while training."""
    def load(self):
        split = prunekit.Split(None, torch.arange(12) % 3, stream=Split())
        return prunekit.Data(
            train=split, test=split, classes=3, input_shape=(1, 4, 4), mean=(0.5,), std=(0.5,)
        )


class Observer:
    def start(self, plan):
        "at start"
    def record(self, line):
        "at record"
    def finish(self, summary):
        "at finish"


@prunekit.hookimpl
def prunekit_scorers():
    "at scorers"
    return {"NAME": Scorer, "NAME/gradients": Gradients, "NAME/learned": Learned}


@prunekit.hookimpl
def prunekit_samplers():
    return {"NAME": Sampler}


@prunekit.hookimpl
def prunekit_reinitializers():
    return {"NAME": Reinit}


@prunekit.hookimpl
def prunekit_architectures():
    return {"NAME": Arch}


@prunekit.hookimpl
def prunekit_inits():
    return {"NAME": Init, "NAME/counted": Counted}


@prunekit.hookimpl
def prunekit_datasets():
    return {"NAME": Dataset, "NAME/streamed": Streamed}


@prunekit.hookimpl
def prunekit_observers():
    "at observers"
    return [Observer()]
'''


def install_odd(folder: Path, name: str, place: str, line: str) -> int:
    """Write the package `name`, whose line "at `place`" is `line`; the number of that line."""
    marked = f'"at {place}"'
    assert CODE.count(marked) == 1, place
    install(folder, name, name, CODE.replace(marked, line))
    return CODE[: CODE.index(marked)].count("\n") + 1


def flags_of(name: str, **others: str) -> list[str]:
    """A run of the components of that package; others: kind -> another component, or a key."""
    kinds = ("scorer", "sampler", "reinit", "arch", "init", "dataset", "observers")
    flags = dict.fromkeys(kinds, name) | {
        "device": "cpu", "prune.density": "0.5", "rounds.count": "2", "train.epochs": "1",
        "train.batch_size": "6", "data.augment": "none", "data.workers": "0",
    } | others  # fmt: skip
    return [f"--{key}={value}" for key, value in flags.items() if value]


def outcome(capsys, site: Path, *flags: str) -> tuple[int, str]:
    """Exit code and the last line of stderr of a run into site/run."""
    code = main(["run", *flags, f"--out={site / 'run'}"])
    return code, capsys.readouterr().err.strip().splitlines()[-1]
