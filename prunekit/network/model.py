"""What a scorer sees: a model whose maskable parameters hold effective weights w * m."""

from __future__ import annotations

import contextlib
import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn
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


@attrs.define(eq=False)
class Network:
    """The model, its weights before masking, and the mask.

    model: its maskable parameters hold `weights[name] * masks[name]`.
    layers: name -> Layer. weights: name -> values before masking. masks: name -> bool tensor,
    or None where nothing is masked yet. input_shape: without the batch dimension, or None.
    memo: a scorer may keep here, between rounds, what depends on the weights alone; the core
    empties it whenever a weight changes.
    """

    model: nn.Module
    layers: dict[str, Layer]
    weights: dict[str, Tensor]
    masks: dict[str, Tensor] | None = None
    input_shape: tuple[int, ...] | None = None
    memo: dict[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        input_shape: tuple[int, ...] | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> Network:
        """The network of `model` as it stands; with `masks`, its parameters are masked in place.

        A weight without a mask is kept whole. Raises SpecError for a mask that fits no weight.
        """
        refuse_hollow(model)
        layers = maskable_layers(model, include, exclude)
        weights = {name: layer.parameter.detach().clone() for name, layer in layers.items()}
        network = cls(model, layers, weights, None, input_shape)
        if masks is not None:
            for name in masks.keys() - weights.keys():
                raise SpecError(f"no maskable weight is named {name!r}; give this model's masks")
            network.mask({name: _fitting(name, w, masks) for name, w in weights.items()})
        return network

    @property
    def effective(self) -> dict[str, nn.Parameter]:
        """What the model computes with: its own parameters, by name."""
        return {name: layer.parameter for name, layer in self.layers.items()}

    @property
    def total(self) -> int:
        """Number of maskable weights, N."""
        return sum(weight.numel() for weight in self.weights.values())

    @property
    def device(self) -> torch.device:
        return next(iter(self.weights.values())).device

    def mask(self, masks: dict[str, Tensor] | None, write: bool = True) -> None:
        """Take these masks and write the effective weights into the model, unless told not to."""
        self.masks = masks
        if write:
            self.write()

    @torch.no_grad()
    def write(self) -> None:
        """Write w * m into the model's own parameters."""
        for name, parameter in self.effective.items():
            weight = self.weights[name]
            if self.masks is None:
                parameter.copy_(weight)
            else:  # at densities near 1/2, torch.where takes five times as long: it branches
                torch.mul(weight, self.masks[name], out=parameter.data)

    @torch.no_grad()
    def change(self, name: str, where: Tensor | None, values: Tensor) -> None:
        """Change weights (all, or those at `where`, see `put`), write them and empty `memo`."""
        weight = self.weights[name]
        if where is None:
            weight.copy_(values)
        else:
            put(weight, where, values)
        self.memo.clear()
        mask = None if self.masks is None else self.masks[name]
        self.layers[name].parameter.copy_(weight if mask is None else weight * mask)


def _fitting(name: str, weight: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
    """The mask of `name` on its weight's device, all True where none is given."""
    mask = masks.get(name)
    if mask is None:
        return torch.ones_like(weight, dtype=torch.bool)
    if mask.shape != weight.shape:
        have, want = tuple(mask.shape), tuple(weight.shape)
        raise SpecError(
            f"the mask of {name} has shape {have}, the weight {want}; give its own mask"
        )
    if mask.dtype != torch.bool:
        raise SpecError(f"the mask of {name} must be bool: {mask.dtype}; use `scores > t`")
    return mask.to(weight.device)


def put(tensor: Tensor, where: Tensor, values: Tensor | int) -> int:
    """Write `values` in place at `where` and return how many there are.

    where: bool of the tensor's shape, with values of that shape; or int64 flat indices, with one
    value each. One int is written everywhere.
    """
    if where.dtype == torch.bool:
        tensor[where] = values if isinstance(values, int) else values.to(tensor)[where]
        return int(torch.count_nonzero(where))
    flat = tensor.view(-1) if tensor.is_contiguous() else tensor.reshape(-1)
    if isinstance(values, int):
        flat.index_fill_(0, where, values)
    else:
        flat.index_copy_(0, where, values.to(tensor))
    if not tensor.is_contiguous():  # e.g. channels_last: flat is a copy
        tensor.copy_(flat.view(tensor.shape))
    return where.numel()
