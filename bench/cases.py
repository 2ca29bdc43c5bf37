"""What `run.py` measures: each case prepares both sides and returns the call that counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial

import attrs
import torch
import torch.nn.functional as F
import torch.nn.utils.prune
from straightforward_scores import straightforward_grasp, straightforward_snip
from straightforward_synflow import straightforward_synflow
from torch import Tensor, nn

import prunekit
from prunekit.draws.chance import fill
from prunekit.network.laws import law_of
from prunekit.network.model import put
from prunekit.training.loaders import epoch_batches
from prunekit.training.loop import Training
from prunekit.training.masked import MaskedWeights

SHAPE, CLASSES = (3, 32, 32), 10
Call = Callable[[], object]


@attrs.frozen
class Case:
    """`ours` and `theirs` prepare (unmeasured) and return a call (measured).

    turns: where not 0, both sides take so many turns in one process, after one that does not
    count; weights: by which the times are shown too.
    """

    ours: Callable[[], Call]
    theirs: Callable[[], Call]
    beside: str
    turns: int = 0
    weights: int = 0


def network(model: str) -> nn.Module:
    torch.manual_seed(0)
    return prunekit.component("arch", "cifar", model=model).build(SHAPE, CLASSES)


def batch(size: int) -> tuple[Tensor, Tensor]:
    rng = prunekit.generator(0, "bench")
    x = torch.randn(size, *SHAPE, generator=rng)
    return x, torch.randint(CLASSES, (size,), generator=rng)


def synflow(model: str, rounds: int = 100, density: float = 0.01) -> Case:
    def ours() -> Call:
        net = network(model)
        return lambda: prunekit.prune(
            net, "synflow", density=density, rounds=rounds, input_shape=SHAPE
        )

    def theirs() -> Call:
        net = network(model)
        return lambda: straightforward_synflow(net, SHAPE, density, rounds, torch.float64)

    return Case(ours, theirs, "straightforward_synflow.py")


def scorer(name: str, straightforward: Callable[..., object], model: str = "resnet20") -> Case:
    def ours() -> Call:
        net, (x, y) = network(model), batch(256)
        return lambda: prunekit.prune(net, name, density=0.1, batches=[(x, y)])

    def theirs() -> Call:
        net, (x, y) = network(model), batch(256)
        return lambda: straightforward(net, x, y, 0.1)

    return Case(ours, theirs, "straightforward_scores.py")


STEPS, BATCH = 10, 128


def our_steps(model: str, density: float) -> Call:
    """STEPS optimizer steps of prunekit's training loop."""
    net = network(model)
    masks = prunekit.prune(net, "magnitude", density=density)
    images = torch.zeros(STEPS * BATCH, *SHAPE, dtype=torch.uint8)
    labels = torch.zeros(STEPS * BATCH, dtype=torch.int64)
    split = prunekit.Split(images, labels)
    data = prunekit.Data(
        train=split, test=split, classes=CLASSES, input_shape=SHAPE, mean=(0.5,) * 3, std=(0.2,) * 3
    )
    given = {} if density == 1 else dict(masks)
    options = prunekit.Train(
        epochs=1, batch_size=BATCH, lr=0.01, momentum=0.9, nesterov=False, weight_decay=1e-4,
        schedule="constant",
    )  # fmt: skip
    cpu = torch.device("cpu")
    batches = epoch_batches(data, "train", BATCH, cpu, seed=0)
    owner = MaskedWeights.of(net, given, cpu)
    training = Training(net, owner, batches, options, 1, 0, "bench", cpu)
    return lambda: training.run_epoch(lambda: None)


def plain_steps(model: str, density: float) -> Call:
    """The same steps in plain torch; masked by torch.nn.utils.prune when density < 1."""
    net = network(model).train()
    owners = [(m, "weight") for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    if density < 1:
        for module, name in owners:
            torch.nn.utils.prune.l1_unstructured(module, name, amount=1 - density)
    x, y = batch(BATCH)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(net(x), y).backward()
            optimizer.step()

    return steps


def step(model: str, density: float, beside: str) -> Case:
    return Case(lambda: our_steps(model, density), lambda: plain_steps(model, density), beside)


def drawn_weights(count: int = 10_000_000) -> Case:
    """Kaiming-uniform weights by counter, beside as many from torch's sequential generator."""

    def ours() -> Call:
        out, words_to_values = torch.zeros(count), partial(prunekit.uniform_values, bound=0.1)
        fill(out[:1000], words_to_values, 0, "bench", "w")
        return lambda: fill(out, words_to_values, 0, "bench", "w")

    def theirs() -> Call:
        out = torch.zeros(count)
        return lambda: out.uniform_(-0.1, 0.1)

    return Case(ours, theirs, "torch.Tensor.uniform_")


def redraw(model: str = "resnet18", rate: float = 0.1) -> Case:
    """One IteRand event, half of the weights pruned, values and writing included."""

    def pruned() -> tuple[nn.Module, prunekit.Network]:
        net = network(model)
        shapes = {name: w.shape for name, w in prunekit.Network.of(net).weights.items()}
        rng = prunekit.generator(0, "bench")
        masks = {name: torch.rand(shape, generator=rng) < 0.5 for name, shape in shapes.items()}
        return net, prunekit.Network.of(net, masks=masks)

    def ours() -> Call:
        net, masked = pruned()
        law = law_of(net, prunekit.component("init", "kaiming-uniform"))
        reinit = prunekit.component("reinit", "iterand", rate=rate)

        def event(number: int) -> None:
            rng = prunekit.generator(0, "reinit", number)
            for name, drawn in reinit.reinit(masked, law.numbered(number), rng).items():
                put(masked.weights[name], drawn.where, drawn.values)

        event(1)
        return lambda: event(2)

    def theirs() -> Call:
        _, masked = pruned()

        def event() -> None:
            for name, w in masked.weights.items():
                fresh, chosen = torch.empty_like(w).uniform_(-0.1, 0.1), torch.rand(w.shape) < rate
                w.copy_(torch.where(chosen & ~masked.masks[name], fresh, w))

        event()
        return event

    return Case(ours, theirs, "torch.rand, torch.where")


def command(*arguments: str) -> Callable[[], Call]:
    return lambda: (
        lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    )


def convolution_norm(channels: int = 16, kernel: int = 3, size: int = 16) -> Case:
    """The norm by Fourier transform, beside that of the explicit matrix (4096 x 4096)."""
    from prunekit.theory.random_networks import conv_operator_matrix, conv_operator_norm

    def kernels() -> Tensor:
        rng = prunekit.generator(0, "bench")
        shape = (channels, channels, kernel, kernel)
        return torch.randn(shape, dtype=torch.float64, generator=rng)

    def ours() -> Call:
        return partial(conv_operator_norm, kernels(), size)

    def theirs() -> Call:
        matrix = conv_operator_matrix(kernels(), size)
        return lambda: torch.linalg.matrix_norm(matrix, 2)

    return Case(ours, theirs, "torch.linalg.matrix_norm")


CASES: Mapping[str, Callable[[], Case]] = {
    "synflow-vgg19": lambda: synflow("vgg19"),
    "synflow-resnet20": lambda: synflow("resnet20"),
    "snip": lambda: scorer("snip", straightforward_snip),
    "snip-vgg16": lambda: scorer("snip", straightforward_snip, "vgg16"),
    "grasp": lambda: scorer("grasp", straightforward_grasp),
    "dense-step": lambda: step("resnet20", 1.0, "plain torch"),
    "masked-step": lambda: step("resnet20", 0.1, "torch.nn.utils.prune"),
    "draw-weights": drawn_weights,
    "redraw": redraw,
    "convolution-norm": convolution_norm,
    "dry-run": lambda: Case(
        command("-m", "prunekit", "run", "--dry-run"), command("-c", "import torch"), "import torch"
    ),
    "help": lambda: Case(
        command("-m", "prunekit", "--help"), command("-c", "import argparse"), "bare python"
    ),
}
