"""Gains and heads that an architecture starts at zero: they hide all that lies behind them."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from prunekit.draws.chance import generator, uniform_scores
from prunekit.network.laws import is_norm_gain
from prunekit.network.names import Layer, layers_of

P = ParamSpec("P")
R = TypeVar("R")


def unblocked(function: Callable[P, R]) -> Callable[P, R]:
    """The function (model, ..., masks=, seed=), called as `alive` has it."""

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        model: Any = args[0] if args else kwargs.get("model")
        masks, seed = kwargs.get("masks") or {}, kwargs.get("seed", 0)
        if not isinstance(model, nn.Module) or not isinstance(masks, Mapping):
            return function(*args, **kwargs)  # which will say it
        with alive(model, masks, seed if isinstance(seed, int) else 0):
            return function(*args, **kwargs)

    return inside


@contextmanager
def alive(model: nn.Module, masks: Mapping[str, Any], seed: int) -> Iterator[None]:
    """Inside, norm gains that are all 0 are 1, and matrices that are all 0 are small draws.

    U(-b, b), b = 1 / sqrt(fan-in), by counter from `seed`; what `masks` prune whole stays 0.
    Afterwards they are 0 again, also after an error. One line says which. With a head of zeros
    every gradient but its own is 0: these are the scores of a network that took a first step.
    """
    zeros = [layer for layer in layers_of(model).values() if blocks(layer, masks)]
    if zeros:
        some = ", ".join(layer.name for layer in zeros[:3]) + (", ..." if zeros[3:] else "")
        warnings.warn(
            f"{len(zeros)} tensors are 0 throughout and hide what lies behind them; while it is "
            f"scored, gains among them are 1 and weights small draws: {some}",
            stacklevel=5,
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
