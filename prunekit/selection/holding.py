"""Pruned weights kept at zero in a model: written once, or after every step of an optimizer."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from prunekit.errors import SpecError, warn
from prunekit.network.masking import write_masked
from prunekit.network.matching import renamed
from prunekit.network.names import parameters_of, refuse_sharded
from prunekit.network.wrappers import held

INSIDE = ("optimizer", "base_optimizer", "_optimizer", "_base_optimizer", "optim")
"""Where wrappers of an optimizer have it."""

STEPPED_INSIDE = ("accelerate", "lightning", "lightning_fabric", "pytorch_lightning")
"""Packages whose wrappers write no weights of their own: the step inside is all that they do."""

ADAPTER = "peft.tuners.tuners_utils.BaseTunerLayer"
ADAPTED: Mapping[str, str] = {ADAPTER: "base_layer"}
"""What adapters of PEFT have beside the weights that they add to."""

Weights = Mapping[str, tuple[nn.Parameter, Tensor]]
"""Name -> parameter, and its mask on the parameter's device (bool, True = kept)."""


def fitting(masks: Mapping[str, Tensor], model: nn.Module) -> Weights:
    """The parameters of `model` that `masks` name; SpecError when a name or shape does not fit."""
    if not isinstance(model, nn.Module):
        raise SpecError(
            f"model must be an nn.Module: {type(model).__name__}; give the model first, and then "
            "the optimizer"
        )
    refuse_sharded(model)
    parameters, weights = parameters_of(model), {}
    for name, mask in renamed(masks, parameters).items():
        parameter = parameters.get(name)
        if parameter is None or parameter.shape != mask.shape:
            have = "no such parameter" if parameter is None else f"{tuple(parameter.shape)}"
            raise SpecError(
                f"mask {name} has shape {tuple(mask.shape)}, the model has {have}; "
                "give the model the mask was made for"
            )
        weights[name] = (parameter, mask.to(parameter.device))
    return weights


@torch.no_grad()
def write_zeros(weights: Weights, optimizers: Sequence[Any]) -> None:
    """Write 0 over pruned weights and over what the optimizers remember of them, in place."""
    for parameter, mask in weights.values():
        _write_zeros(parameter, mask)
        for optimizer in optimizers:
            for tensor in _state(optimizer, parameter).values():
                if isinstance(tensor, Tensor) and tensor.shape == mask.shape:
                    _write_zeros(tensor, mask)


def _state(optimizer: Any, parameter: nn.Parameter) -> Mapping[str, Any]:
    state = getattr(optimizer, "state", None)
    found = state.get(parameter) if isinstance(state, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _write_zeros(tensor: Tensor, mask: Tensor) -> None:
    if torch.compiler.is_compiling() or not tensor.is_floating_point():
        tensor.masked_fill_(~mask.to(tensor.device), 0)
        return
    values = tensor.detach()
    write_masked(values, mask.to(values.device), out=values)
    if not tensor.is_inference():
        increment_version(tensor)  # NumPy writes do not tell autograd


@attrs.define(eq=False)
class Held:
    """Weights that are held at zero: until `remove()`, or the end of a `with` block.

    optimizers: those whose state is held with them.
    """

    weights: Weights = attrs.field(repr=False)
    optimizers: Sequence[Any] = attrs.field(repr=False)
    holds: bool = True
    handles: list[RemovableHandle] = attrs.field(factory=list, repr=False)

    def after_step(self, *args: Any) -> None:
        """Write the zeros; `args` are what a post-step hook is given."""
        if self.holds:
            write_zeros(self.weights, self.optimizers)

    def remove(self) -> None:
        """Let the weights go; what is 0 stays so until something trains it."""
        self.holds = False
        while self.handles:
            self.handles.pop().remove()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *args: object) -> None:
        self.remove()


def hold(weights: Weights, optimizer: Any) -> Held:
    """See `Masks.hold`."""
    chain = list(_from_outside_in(optimizer))
    inner = chain[-1]
    if not isinstance(inner, Optimizer):
        raise SpecError(
            f"optimizer must be a torch optimizer, or a wrapper of one: {type(optimizer).__name__}"
        )
    if not _takes_hooks(inner):
        raise SpecError(
            f"{type(inner).__name__} takes no step hooks, because it never called "
            "Optimizer.__init__; call masks.apply(model, optimizer) after each step instead"
        )
    trained = {id(p) for group in inner.param_groups for p in group["params"]}
    if weights and not any(id(parameter) in trained for parameter, _ in weights.values()):
        raise SpecError(
            f"the optimizer trains none of the masked weights, {next(iter(weights))} for one; give "
            "the optimizer of this model, made after its parameters were; with adapters (LoRA) "
            "call masks.apply(model) after merge_and_unload() instead"
        )
    held = Held(weights, chain)
    for stepper in chain:
        if _takes_hooks(stepper) and not _steps_inside(stepper):
            held.handles.append(stepper.register_step_post_hook(held.after_step))
        elif hasattr(stepper, "step") and not _steps_inside(stepper):
            _follow(stepper, held)
    write_zeros(weights, chain)
    return held


def warn_of_adapters(model: nn.Module, weights: Weights) -> None:
    """Say it where adapters of PEFT add to pruned weights: their sum has no zeros."""
    pruned = {id(parameter): name for name, (parameter, mask) in weights.items() if not mask.all()}
    adapted = (module for module in model.modules() if held(module, ADAPTED))
    inside = (p for module in adapted for p in getattr(module, ADAPTED[ADAPTER]).parameters())
    names = [pruned[id(parameter)] for parameter in inside if id(parameter) in pruned]
    if names:
        warn(
            f"adapters act on pruned weights, as on {names[0]}, and fill the zeros when they are "
            "merged; call masks.apply(model) after merge_and_unload()"
        )


def _from_outside_in(optimizer: Any) -> Iterator[Any]:
    """The optimizer, what it wraps, what that wraps, and so on."""
    yield optimizer
    seen = {id(optimizer)}
    inside: Any = optimizer
    while inside is not None:
        values = (getattr(inside, name, None) for name in INSIDE)
        inside = next((v for v in values if hasattr(v, "step") and id(v) not in seen), None)
        if inside is not None:
            seen.add(id(inside))
            yield inside


def _takes_hooks(optimizer: Any) -> bool:
    """Whether a step of it runs post-step hooks: a subclass may have skipped `__init__`."""
    ready = isinstance(optimizer, Optimizer) and hasattr(optimizer, "_optimizer_step_post_hooks")
    return ready and hasattr(type(optimizer).step, "hooked")


def _steps_inside(optimizer: Any) -> bool:
    packages = {kind.__module__.partition(".")[0] for kind in type(optimizer).__mro__}
    return not packages.isdisjoint(STEPPED_INSIDE)


def _follow(stepper: Any, held: Held) -> None:
    """Let the zeros be written after each `step` of a wrapper that takes no hooks."""
    bound = stepper.step
    original = getattr(bound, "__func__", None)

    @functools.wraps(original or bound)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs) if original else bound(*args, **kwargs)
        held.after_step()
        return result

    stepper.step = types.MethodType(step, stepper)
