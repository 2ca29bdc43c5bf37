"""Gains and heads that an architecture starts at zero: they hide all that lies behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from prunekit.draws.chance import generator, uniform_scores
from prunekit.errors import warn
from prunekit.network.laws import is_norm_gain
from prunekit.network.names import Layer, layers_of
from prunekit.network.wrappers import ADAPTED, held


@contextmanager
def alive(model: Any, masks: Any, seed: Any) -> Iterator[None]:
    """Inside, norm gains that are all 0 are 1, and matrices that are all 0 are small draws.

    U(-b, b), b = 1 / sqrt(fan-in), by counter from `seed`; what `masks` prune whole stays 0.
    Afterwards they are 0 again, also after an error: scale no weight inside. One line says which.
    With a head of zeros every gradient but its own is 0: these are the scores of a network that
    took a first step. What is no model, no masks or no seed is left to others to refuse.
    """
    masks = masks if isinstance(masks, Mapping) else {}
    seed = seed if isinstance(seed, int) else 0
    layers = layers_of(model) if isinstance(model, nn.Module) else {}
    added = adapters_in(model) if layers else set()
    zeros = [x for x in layers.values() if id(x.parameter) not in added and blocks(x, masks)]
    if zeros:
        some = ", ".join(layer.name for layer in zeros[:3]) + (", ..." if zeros[3:] else "")
        warn(
            f"{len(zeros)} tensors are 0 throughout and hide what lies behind them; while it is "
            f"scored, gains among them are 1 and weights small draws: {some}"
        )
    fills = {layer.name: fill_of(layer, seed) for layer in zeros}
    try:
        with torch.no_grad():
            for layer in zeros:
                layer.parameter.copy_(fills[layer.name])
        yield
    finally:
        with torch.no_grad():
            for layer in zeros:  # what was drawn anew meanwhile stays
                layer.parameter[layer.parameter == fills[layer.name].to(layer.parameter)] = 0


def adapters_in(model: nn.Module) -> set[int]:
    """The ids of what PEFT adds to layers: it starts at 0 and hides nothing of them."""
    return {
        id(parameter)
        for module in model.modules()
        if held(module, ADAPTED)
        for name, parameter in module.named_parameters()
        if not name.startswith("base_layer.")
    }


def blocks(layer: Layer, masks: Mapping[str, Any]) -> bool:
    """Whether a gain, or a matrix that no mask prunes whole, is 0 throughout."""
    parameter, mask = layer.parameter, masks.get(layer.name)
    if is_lazy(parameter) or parameter.is_meta or parameter.layout != torch.strided:
        return False
    matrix = parameter.ndim > 1 and "weight" in layer.name.rpartition(".")[2]
    if not (matrix or is_norm_gain(layer)) or not parameter.is_floating_point():
        return False
    if isinstance(mask, Tensor) and not bool(mask.any()):
        return False
    first = parameter.detach().flatten()[:1024] if parameter.is_contiguous() else parameter
    return parameter.numel() > 0 and not bool(first.any()) and not bool(parameter.any())


def fill_of(layer: Layer, seed: int) -> Tensor:
    """1 for a gain; draws for a matrix, float32."""
    if is_norm_gain(layer):
        return torch.ones(layer.shape)
    bound = 1 / math.sqrt(layer.fan_in)
    return uniform_scores(layer.shape, bound, generator(seed, "blocked"), layer.name)
