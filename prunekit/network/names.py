"""The parameters of a model by name, whatever wraps it, each with the module that owns it."""

from __future__ import annotations

import math
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


def layers_of(model: nn.Module) -> dict[str, Layer]:
    """Parameter name -> Layer for every parameter, each once, in definition order."""
    layers, modules = {}, dict(model.named_modules(remove_duplicate=False))
    for name, parameter in model.named_parameters():
        owner = name.rpartition(".")[0]
        layers[name] = Layer(name, owner, modules[owner], parameter)
    return layers


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel and torch.compile, with its own names."""
    inner: nn.Module = getattr(model, "_orig_mod", model)  # of torch.compile
    return inner.module if isinstance(inner, DistributedDataParallel) else inner


def undistributed(model: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel, compiled if it was, or `model`."""
    inner: nn.Module = model.module if isinstance(model, DistributedDataParallel) else model
    return inner
