"""The parameters of a model as layers, and which of them may be masked."""

from __future__ import annotations

import contextlib
import fnmatch
import math
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from prunekit.errors import SpecError


@attrs.frozen(eq=False)
class Layer:
    """One parameter and the module that owns it.

    name: dotted parameter name. module_name: that of the owner ("" = the model itself).
    """

    name: str
    module_name: str
    module: nn.Module
    parameter: nn.Parameter

    @property
    def shape(self) -> torch.Size:
        return self.parameter.shape

    @property
    def fan_in(self) -> int:
        """Inputs of one output, at least 1: in_features, or in_channels / groups * kernel size.

        Raises SpecError for a parameter of one dimension, which has none.
        """
        if self.parameter.ndim < 2:
            raise SpecError(
                f"{self.name} has shape {tuple(self.shape)} and so no fan-in, which its scores or "
                "its init need; leave it out of prune.include, or choose others"
            )
        return max(math.prod(self.shape[1:]), 1)


def maskable_layers(
    model: nn.Module, include: Sequence[str] | None = None, exclude: Sequence[str] | None = None
) -> dict[str, Layer]:
    """Parameter name -> Layer for every maskable parameter, in definition order.

    Maskable is a floating-point parameter of two or more dimensions with "weight" in its own
    name (Conv, Linear, Embedding, RNN, attention projection); norms (`normalized_shape`), biases
    and tokens are not. `include` and `exclude` are shell patterns over parameter names; a full
    name in `include` also adds a parameter that the rule leaves out. Tied weights appear once.
    Raises SpecError when nothing is left or a pattern matches nothing.
    """
    refuse_shapeless(model)
    for patterns in (include, exclude):
        if isinstance(patterns, str):
            raise SpecError(f"include and exclude are lists of patterns: {patterns!r}")
    include, exclude = tuple(include or ()), tuple(exclude or ())
    found, everything = {}, layers_of(model)
    for name, layer in everything.items():
        wanted = _by_rule(layer) and (not include or _matches(name, include))
        wanted = wanted or (name in include and layer.parameter.is_floating_point())
        if wanted and not _matches(name, exclude):
            found[name] = layer
    for pattern in (*include, *exclude):
        if not any(fnmatch.fnmatchcase(name, pattern) for name in everything):
            raise SpecError(f"the pattern {pattern!r} matches no parameter; `--dry-run` lists them")
    if not found:
        if include or exclude:
            raise SpecError("no maskable weight is left; loosen prune.include and prune.exclude")
        raise SpecError(
            "the model has no maskable weight: none of its parameters is called weight and has two "
            "dimensions or more, as those of Linear, Conv2d and Embedding; name others in include"
        )
    return found


def refuse_shapeless(model: Any) -> None:
    """SpecError for what is no module, and for a parameter without a shape, as of lazy modules."""
    if not isinstance(model, nn.Module):
        raise SpecError(f"model must be an nn.Module: {type(model).__name__}")
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise SpecError(f"{name} has no shape yet; run one batch through the model first")


def refuse_hollow(model: Any) -> None:
    """SpecError for what is no module, and for parameters without a shape or without memory."""
    refuse_shapeless(model)
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise SpecError("the module is on the meta device, without memory; use to_empty first")


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards each module is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        model.train(modes[model])  # a module's own `train` may do more than set the mode
        for module, mode in modes.items():
            module.training = mode


def layers_of(model: nn.Module) -> dict[str, Layer]:
    """Parameter name -> Layer for every parameter, each once, in definition order."""
    layers = {}
    for name, parameter in model.named_parameters():
        owner = name.rpartition(".")[0]
        layers[name] = Layer(name, owner, model.get_submodule(owner), parameter)
    return layers


def layers_by_rule(model: nn.Module) -> dict[str, Layer]:
    """The parameters that are maskable whatever a spec includes; there may be none."""
    return {name: layer for name, layer in layers_of(model).items() if _by_rule(layer)}


def _by_rule(layer: Layer) -> bool:
    leaf, parameter = layer.name.rpartition(".")[2], layer.parameter
    is_weight = "weight" in leaf and parameter.ndim >= 2 and parameter.is_floating_point()
    return is_weight and not hasattr(layer.module, "normalized_shape")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel and torch.compile, with its own names."""
    inner: nn.Module = getattr(model, "_orig_mod", model)  # of torch.compile
    return inner.module if isinstance(inner, DistributedDataParallel) else inner


def undistributed(model: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel, compiled if it was, or `model`."""
    inner: nn.Module = model.module if isinstance(model, DistributedDataParallel) else model
    return inner
