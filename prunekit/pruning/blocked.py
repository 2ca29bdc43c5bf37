"""Gains and heads that an architecture starts at zero: they hide all that lies behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from prunekit.contracts import reads
from prunekit.draws.chance import generator, uniform_scores
from prunekit.errors import warn
from prunekit.network.laws import is_norm_gain
from prunekit.network.model import Network
from prunekit.network.names import Layer, layers_of
from prunekit.network.wrappers import ADAPTED, held


@contextmanager
def unblocked(network: Network, scorer: object, seed: int) -> Iterator[None]:
    """Inside, weights that are 0 throughout are small draws, and such gains of norms are 1.

    U(-b, b), b = 1 / sqrt(fan-in), by counter from `seed`; what masks prune whole stays 0, and a
    scorer that reads nothing needs no gains. Afterwards they are 0 again, also after an error. One
    line says which. With a head of zeros every gradient but its own is 0: the scores are those of
    a network that took a first step.
    """
    zeros = [layer for layer in hiding(network, scorer) if is_zero(layer.parameter)]
    if zeros:
        some = ", ".join(layer.name for layer in zeros[:3]) + (", ..." if zeros[3:] else "")
        be, hide = ("is", "hides") if len(zeros) == 1 else ("are", "hide")
        warn(
            f"{len(zeros)} of the model's tensors {be} 0 throughout and {hide} what lies behind; "
            f"while it is scored, gains among them are 1 and weights small draws: {some}"
        )
    fills = {layer.name: fill_of(layer, seed).to(layer.parameter) for layer in zeros}
    try:
        for layer in zeros:
            write(network, layer, fills[layer.name])
        yield
    finally:
        for layer in zeros:  # what was drawn anew meanwhile stays
            now = network.weights.get(layer.name, layer.parameter).detach()
            write(network, layer, now.masked_fill(now == fills[layer.name], 0))


def hiding(network: Network, scorer: object) -> Iterator[Layer]:
    """The layers that may hide others: maskable ones that some mask keeps, and gains of norms.

    What PEFT adds starts at 0 and hides nothing of the layer that it is added to.
    """
    added = adapters_in(network.model)
    for name, layer in network.layers.items():
        kept = network.masks is None or bool(network.masks[name].any())
        if kept and id(layer.parameter) not in added:
            yield layer
    if reads(scorer) != "nothing":
        layers = layers_of(network.model)
        yield from (la for n, la in layers.items() if n not in network.layers and is_norm_gain(la))


def adapters_in(model: nn.Module) -> set[int]:
    """The ids of the parameters that PEFT adds to layers."""
    return {
        id(parameter)
        for module in model.modules()
        if held(module, ADAPTED)
        for name, parameter in module.named_parameters()
        if not name.startswith("base_layer.")
    }


def is_zero(tensor: Tensor) -> bool:
    """Whether it has entries, all of them 0."""
    first = tensor.detach().flatten()[:1024] if tensor.is_contiguous() else tensor
    return tensor.numel() > 0 and not bool(first.any()) and not bool(tensor.any())


@torch.no_grad()
def write(network: Network, layer: Layer, values: Tensor) -> None:
    if layer.name in network.layers:
        network.change(layer.name, None, values)
    else:
        layer.parameter.copy_(values)


def fill_of(layer: Layer, seed: int) -> Tensor:
    """1 for a gain; draws for weights, float32."""
    if is_norm_gain(layer):
        return torch.ones(layer.shape)
    bound = 1 / math.sqrt(math.prod(layer.shape[1:]) or 1)
    return uniform_scores(layer.shape, bound, generator(seed, "blocked"), layer.name)
