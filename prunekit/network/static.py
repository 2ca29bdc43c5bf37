"""What looks like a weight, where no forward pass says what is one."""

from __future__ import annotations

import re

from torch import nn

from prunekit.network.names import Layer

KINDS = (
    *(nn.Linear, nn.modules.conv._ConvNd, nn.Embedding, nn.EmbeddingBag, nn.RNNBase),
    *(nn.RNNCellBase, nn.Bilinear, nn.MultiheadAttention),
)
"""Modules whose parameters called weight are weights."""

SCRIPTED = re.compile(
    r"(Linear|Conv(Transpose)?\dd|Embedding(Bag)?|(LSTM|GRU|RNN)(Cell)?|Bilinear)$"
)
"""Their names, by which a ScriptModule remembers what it was."""

NO_WEIGHT = re.compile(
    "bias|pos|token|cls|table|rel(?!u)|gain|gamma|beta|scale|mask|latent|probe|prompt|query_embed|"
    r"alpha|(^|_)mu(_|\d|$)|sigma|temperature|att_|mix|decay|a_log"
)
"""What is in the names of parameters of two dimensions that are added, looked up or scaled by."""


def looks_like_weight(layer: Layer, scaled: bool = False) -> bool:
    """Whether a parameter is a matrix by its module's type, else by its name and dimensions.

    scaled: it is multiplied with data, so that its first dimension may be 1.

    Of weight normalisation it is the direction, never the gain; of another parametrization what
    was there before it.
    """
    parameter, name = layer.parameter, own_name(layer.name)
    if not parameter.is_floating_point() or _is_gain(layer):
        return False
    if _is_kind(layer.module) and "weight" in name:
        return parameter.ndim >= 2
    large = sum(length > 1 for length in parameter.shape)
    first = scaled or (parameter.ndim > 0 and parameter.shape[0] > 1)
    conv1d = type(layer.module).__name__ == "Conv1D"  # of transformers: (inputs, outputs)
    if large < 2 or not (first or conv1d) or _is_norm(layer.module):
        return False
    return not NO_WEIGHT.search(name.lower())


LIBRARIES = ("torch", "timm", "transformers", "torchvision", "torch_geometric", "peft")


def by_name_only(layer: Layer) -> bool:
    """Whether nothing but its name and shape speaks for a weight: of a class of one's own."""
    root = type(layer.module).__module__.partition(".")[0]
    return not _is_kind(layer.module) and root not in LIBRARIES


def own_name(name: str) -> str:
    """The last part of a parameter's name that says what it is.

    Of a list that of the list, of a parametrization that of the tensor that it computes.
    """
    parts = name.split(".")
    if len(parts) > 2 and parts[-3] == "parametrizations":
        return parts[-2]
    while len(parts) > 1 and parts[-1].isdigit():
        parts.pop()
    return parts[-1]


def _is_gain(layer: Layer) -> bool:
    """Whether a parameter is the gain of a weight normalisation, old or new."""
    leaf, held = layer.name.rpartition(".")[2], layer.module
    if leaf == "original0" and "parametrizations" in layer.name:
        return True
    return leaf.endswith("_g") and hasattr(held, f"{leaf[:-2]}_v")


def _is_kind(module: nn.Module) -> bool:
    if isinstance(module, KINDS):
        return True
    return bool(SCRIPTED.match(getattr(module, "original_name", "")))


def _is_norm(module: nn.Module) -> bool:
    name = type(module).__name__.lower()
    marks = ("normalized_shape", "running_mean")
    return "norm" in name or "grn" in name or any(hasattr(module, mark) for mark in marks)
