"""What the tests of tickets share: short runs over frozen weights, and their masked state."""

from __future__ import annotations

import prunekit
from prunekit.runs.running import run
from prunekit.spec.sections import Prune, Spec, Train
from prunekit.storage.tensorfile import read_tensors
from prunekit.tickets.header import Origin

SHAPE, CLASSES = (1, 8, 8), 10


def run_of(folder, **changes):
    """A short finished run of edge-popup on the embedded digits."""
    given = {
        "arch": prunekit.component("arch", "mlp", hidden=(24,)),
        "scorer": "edge-popup",
        "init": prunekit.component("init", "signed-constant"),
        "prune": Prune(density=0.4),
        "train": Train(epochs=1),
        "observers": (),
        "device": "cpu",
        "seed": 3,
    }
    return run(Spec(**given | changes), folder).folder


def masked_state(folder):
    """The state dict that a run left, its pruned weights +0."""
    state, _ = read_tensors(folder / "model.safetensors")
    masks = prunekit.Masks.load(folder / "masks.safetensors")
    return {
        name: t.masked_fill(~masks[name], 0) if name in masks else t for name, t in state.items()
    }


def assert_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].numpy().tobytes() == tensor.numpy().tobytes(), name


def redrawn_run(folder):
    """One with redraws: signs are turned in it."""
    reinit = prunekit.component("reinit", "iterand", period=2, rate=0.5)
    return run_of(folder, reinit=reinit)


def large_run(folder):
    """One of 270,400 uniform weights that were redrawn eleven times; its masks move far."""
    arch = prunekit.component("arch", "mlp", hidden=(1200, 160))
    init = prunekit.component("init", "kaiming-uniform")
    reinit = prunekit.component("reinit", "iterand", period=2, rate=0.5)
    return run_of(folder, arch=arch, init=init, reinit=reinit, train=Train(epochs=1, lr=30.0))


def origin(init, seed=1, **changes):
    """Of a ResNet-18."""
    given = {
        "arch": {"name": "cifar", "model": "resnet18"},
        "input_shape": (3, 32, 32),
        "classes": 10,
        "mean": (),
        "std": (),
        "init": {"name": init},
        "seed": seed,
    }
    return Origin(**given | changes)
