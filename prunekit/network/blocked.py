"""Gains and heads that an architecture starts at zero: they block every gradient behind them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from prunekit.draws.chance import uniform_scores
from prunekit.network.laws import is_norm_gain
from prunekit.network.names import Layer, layers_of


@contextmanager
def unblocked(model: nn.Module, seed: torch.Generator) -> Iterator[None]:
    """Inside, norm gains that are all 0 are 1, and matrices that are all 0 are small draws.

    U(-b, b), b = 1 / sqrt(fan-in), by counter from the seed of the generator. Afterwards they are
    0 again, also after an error. One line says which: scores are then those of a network that has
    left its first step behind, not all 0.
    """
    zeros = [layer for layer in layers_of(model).values() if blocks(layer)]
    if zeros:
        some = ", ".join(layer.name for layer in zeros[:3]) + (", ..." if zeros[3:] else "")
        warnings.warn(
            f"{len(zeros)} tensors that are all 0 hide what lies behind them from scores; while "
            f"these are taken, gains are 1 and weights small draws: {some}",
            stacklevel=5,
        )
    try:
        with torch.no_grad():
            for layer in zeros:
                fill(layer, seed)
        yield
    finally:
        with torch.no_grad():
            for layer in zeros:
                layer.parameter.zero_()


def blocks(layer: Layer) -> bool:
    """Whether a gain, or a matrix, is 0 throughout."""
    parameter = layer.parameter
    known = parameter.is_floating_point() and parameter.numel() > 0 and not parameter.is_sparse
    matrix = parameter.ndim > 1 and "weight" in layer.name.rpartition(".")[2]
    return known and (matrix or is_norm_gain(layer)) and not bool(parameter.any())


def fill(layer: Layer, seed: torch.Generator) -> None:
    if is_norm_gain(layer):
        layer.parameter.fill_(1.0)
    else:
        bound = 1 / math.sqrt(layer.fan_in)
        draws = uniform_scores(layer.shape, bound, seed, layer.name)
        layer.parameter.copy_(draws)
