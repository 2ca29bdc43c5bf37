"""Weights that a module computes from its parameters before it multiplies with them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm, _WeightNorm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from prunekit.errors import out_of_memory
from prunekit.network.names import Layer
from prunekit.network.static import NO_WEIGHT
from prunekit.network.taint import Use, is_matrix
from prunekit.network.traced import watched

REMOVED_BY: Mapping[type, str] = {
    BasePruningMethod: "prune.remove",
    SpectralNorm: "remove_spectral_norm",
    WeightNorm: "remove_weight_norm",
}
"""Hook -> what of `torch.nn.utils` leaves a plain parameter."""


@attrs.frozen(eq=False)
class Computed:
    """A weight that a module computes. make: computes it anew. hook: what computes it before each
    pass and leaves it in the module until the next; None for a parametrization."""

    module: nn.Module
    name: str
    make: Callable[[], Tensor]
    hook: Any = None

    def where(self, model: nn.Module) -> str:
        """The path of the module."""
        return next(path for path, held in model.named_modules() if held is self.module)

    def path(self, model: nn.Module) -> str:
        """The path of the weight."""
        return ".".join(filter(None, (self.where(model), self.name)))

    def removal(self, model: nn.Module) -> str:
        """The line of Python that leaves a plain parameter there."""
        path = self.where(model)
        module = f'model.get_submodule("{path}")' if path else "model"
        for kind, function in REMOVED_BY.items():
            if isinstance(self.hook, kind):
                return f'torch.nn.utils.{function}({module}, "{self.name}")'
        return f'torch.nn.utils.parametrize.remove_parametrizations({module}, "{self.name}")'

    def refresh(self) -> None:
        """Let the module hold what it would compute now."""
        if self.hook is not None:
            setattr(self.module, self.name, self.make())


def computed_in(model: nn.Module) -> Iterator[Computed]:
    """Every weight that is computed: by parametrizations, or by hooks before each pass."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:  # type: ignore[union-attr]
                yield Computed(module, name, functools.partial(getattr, module, name))
        for hook in module._forward_pre_hooks.values():
            maker = _maker(hook, module)
            if maker is not None:
                yield Computed(module, _tensor_name(hook), maker, hook)


def _maker(hook: Any, module: nn.Module) -> Callable[[], Tensor] | None:
    if isinstance(hook, BasePruningMethod):
        return lambda: hook.apply_mask(module)
    if isinstance(hook, SpectralNorm):
        return lambda: hook.compute_weight(module, do_power_iteration=False)
    if isinstance(hook, WeightNorm):
        return lambda: hook.compute_weight(module)
    return None


def _tensor_name(hook: Any) -> str:
    name: str = hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name
    return name


def uses_by_rule(model: nn.Module, layers: Mapping[str, Layer]) -> dict[str, Use]:
    """What can be said of parameters without a pass: those of which weights are computed.

    And those of torch's layers with a forward of their own, which are run alone on an input that
    is made up. Only names of which something is known.
    """
    found: dict[str, Use] = {}
    names = {id(layer.parameter): name for name, layer in layers.items()}
    for weight in computed_in(model):
        found |= _uses_in(weight.module, names, weight.make, weight.name)
    for module in model.modules():
        inputs = made_up(module)
        if inputs is not None:
            found |= _uses_in(module, names, functools.partial(module, inputs))
    return found


def _uses_in(
    module: nn.Module, names: Mapping[int, str], make: Callable[[], Tensor], weight: str = ""
) -> dict[str, Use]:
    """The uses in one module; {} where it does not run alone.

    weight: what `make` computes, unless it is the module's output; it is used if it is a matrix.
    """
    own = {names[id(p)]: p for p in module.parameters() if id(p) in names}
    training = module.training
    try:
        ledger, value = watched(module, own, make)
    except Exception as error:  # anyone's module may raise anything
        if short := out_of_memory(error):
            raise short from error
        return {}
    finally:
        module.training = training
    if weight and isinstance(value, Tensor) and is_matrix(value) and not NO_WEIGHT.search(weight):
        ledger.count(ledger.of(value).sources, value)
        with torch.no_grad():
            ledger.settle()
    return {name: use for name, use in ledger.uses.items() if use.reached}


def made_up(module: nn.Module) -> Tensor | None:
    """Two zero inputs for a layer of torch's kinds whose forward is its own; None for others."""
    if isinstance(module, torch.jit.ScriptModule):
        return None
    if type(module).forward.__module__.startswith("torch.nn.modules"):
        return None
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        return None
    like: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
    if isinstance(module, nn.Linear):
        return torch.zeros(2, module.in_features, **like)
    if isinstance(module, nn.modules.conv._ConvNd):
        reach = [d * (k - 1) + 2 for d, k in zip(module.dilation, module.kernel_size)]
        return torch.zeros(2, module.in_channels, *reach, **like)
    if isinstance(module, nn.Embedding):
        return torch.zeros(2, dtype=torch.long, device=weight.device)
    return None


def foreign_masks(model: nn.Module, layers: Mapping[str, Layer]) -> dict[str, Tensor]:
    """The masks of torch.nn.utils.prune (bool, True = kept), by the names of their parameters."""
    names = {id(layer.parameter): name for name, layer in layers.items()}
    found: dict[str, Tensor] = {}
    for module in model.modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                original = module._parameters.get(f"{hook._tensor_name}_orig")
                if id(original) in names:
                    mask: Tensor = getattr(module, f"{hook._tensor_name}_mask")
                    found[names[id(original)]] = torch.ne(mask, 0)
    return found


def normed_in(computed: Sequence[Computed], layers: Mapping[str, Layer]) -> dict[str, int | None]:
    """Parameters that are divided by norms of their own -> the axis of which each slice has one.

    None where there is one norm, as the spectral one. By weight and spectral normalisation of
    torch, old and new.
    """
    names = {id(layer.parameter): name for name, layer in layers.items()}
    found: dict[str, int | None] = {}
    for weight in computed:
        for parameter, dim in _norms_of(weight):
            if id(parameter) in names:
                found[names[id(parameter)]] = dim
    return found


def _norms_of(weight: Computed) -> Iterator[tuple[Any, int | None]]:
    module, name = weight.module, weight.name
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and hook.name == name:
            yield getattr(module, f"{name}_v"), None if hook.dim == -1 else hook.dim
        elif isinstance(hook, SpectralNorm) and hook.name == name:
            yield getattr(module, f"{name}_orig"), None
    parts: Any = () if weight.hook is not None else module.parametrizations[name]  # type: ignore[index]
    for part in parts:
        if isinstance(part, _WeightNorm) and hasattr(parts, "original1"):
            yield parts.original1, None if part.dim == -1 else part.dim
        elif isinstance(part, _SpectralNorm) and hasattr(parts, "original"):
            yield parts.original, None


def removal_of(model: nn.Module, layer: Layer) -> str | None:
    """The line that removes the parametrization of a layer's weight; None where it has none."""
    for weight in computed_in(model):
        if weight.hook is None:
            held: Any = weight.module.parametrizations[weight.name]  # type: ignore[index]
            if any(p is layer.parameter for p in held.parameters()):
                return weight.removal(model)
    return None
