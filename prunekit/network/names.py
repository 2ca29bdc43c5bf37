"""The parameters of a model by name, whatever wraps it, each with the module that owns it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from prunekit.errors import SpecError
from prunekit.network.wrappers import FSDP, SHELLS, Place, dotted, held, places


@attrs.frozen(eq=False)
class Layer:
    """One parameter and the module that owns it.

    name: dotted parameter name, without what wraps the model or its parts. module_name: that of
    the owner ("" = the model itself).
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
    """SpecError for what is no module, and for parameters without a shape or without memory.

    And for those of which this process holds a part.
    """
    refuse_shapeless(model)
    refuse_sharded(model)
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise SpecError("the module is on the meta device, without memory; use to_empty first")


def refuse_sharded(model: nn.Module) -> None:
    """SpecError for parameters that fully_shard, FSDP or tensor parallelism has cut up."""
    for name, parameter in model.named_parameters():
        if hasattr(parameter, "placements"):  # a DTensor
            raise SpecError(f"{name} is cut into shards; prune and train before fully_shard")
    if any(held(module, {FSDP: "_fsdp_wrapped_module"}) for module in model.modules()):
        raise SpecError("FSDP has cut the model into shards; prune and train before FSDP")


def layers_of(model: nn.Module) -> dict[str, Layer]:
    """Parameter name -> Layer for every parameter, each once, in definition order.

    A name is the same whatever wraps the model or its parts, in any order: DataParallel, DDP, FSDP,
    torch.compile, AveragedModel, checkpoint_wrapper, PEFT. The parameter from which a weight is
    computed (parametrizations, weight and spectral norm, torch.nn.utils.prune) has the weight's
    name and module.
    """
    return {layer.name: layer for _, layer in _listed(model)}


def _listed(model: nn.Module) -> Iterator[tuple[str, Layer]]:
    """Every parameter once, with what the model itself calls it."""
    names: set[str] = set()
    seen: dict[int, nn.Parameter] = {}
    for place in places(model):
        for local, parameter in place.module.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen[id(parameter)] = parameter
            path = dotted(place.path, local)
            owner_name, owner, leaf = place.read(local)
            name = dotted(owner_name, leaf)
            if name in names:  # a wrapper's own beside one of what it wraps
                owner_name, owner, name = place.path, place.module, path
            names.add(name)
            yield path, Layer(name, owner_name, owner, parameter)


def parameters_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameter name -> parameter, as `layers_of` names them: what masks and scores are of."""
    return {name: layer.parameter for name, layer in layers_of(model).items()}


def paths_of(model: nn.Module) -> dict[str, str]:
    """Each name in `model.named_parameters()` -> what `layers_of` calls it."""
    return {path: layer.name for path, layer in _listed(model)}


def state_names(model: nn.Module) -> dict[str, str]:
    """Each name in the state_dict of `model` -> what it is called without wrappers."""
    where = {place.path: place for place in places(model, unique=False)}
    first, names = paths_of(model), {}
    for key in model.state_dict(keep_vars=True):
        path, _, local = key.rpartition(".")
        place = where.get(path)
        names[key] = first.get(key) or (_read(place, local) if place else key)
    return names


def state_of(model: nn.Module) -> dict[str, Any]:
    """The state_dict of `model`, by the names of `state_names`."""
    names = state_names(model)
    return {names[path]: value for path, value in model.state_dict().items()}


def load_state(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Give `model` what `state_of` gave, in place."""
    model.load_state_dict({path: state[name] for path, name in state_names(model).items()})


def _read(place: Place, local: str) -> str:
    owner, _, leaf = place.read(local)
    return dotted(owner, leaf)


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside all that only wraps it, see `SHELLS`, in any order."""
    while attribute := held(model, SHELLS):
        model = getattr(model, attribute)
    return model


def replicated(model: nn.Module) -> DistributedDataParallel | None:
    """The DistributedDataParallel that `model` is, is inside, or has inside; None without one."""
    found = (part for part in model.modules() if isinstance(part, DistributedDataParallel))
    return next(found, None)


def undistributed(model: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel, with what wraps it there, or `model`."""
    inner = model
    while attribute := held(inner, SHELLS):
        wrapper, inner = inner, getattr(inner, attribute)
        if isinstance(wrapper, DistributedDataParallel):
            return inner
    return model
