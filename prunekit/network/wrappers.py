"""Modules that only wrap another one, or compute its weights: what they add to names."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import nn
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

SHELLS: Mapping[str, str] = {
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.optim.swa_utils.AveragedModel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.ActivationWrapper": (
        "_checkpoint_wrapped_module"
    ),
    "lightning.fabric.wrappers._FabricModule": "_forward_module",
    "lightning_fabric.wrappers._FabricModule": "_forward_module",
    "timm.utils.model_ema.ModelEmaV2": "module",
    "timm.utils.model_ema.ModelEmaV3": "module",
    "deepspeed.runtime.engine.DeepSpeedEngine": "module",
    "apex.parallel.distributed.DistributedDataParallel": "module",
}
"""Class -> its attribute that does all the work: the model is the same without the shell."""

FSDP = "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel"

ADAPTED: Mapping[str, str] = {"peft.tuners.tuners_utils.BaseTunerLayer": "base_layer"}
"""Layers with adapters -> the attribute that is the layer as it was."""

HOLDERS: Mapping[str, str] = {
    FSDP: "_fsdp_wrapped_module",
    "peft.peft_model.PeftModel": "base_model",
    "peft.mixed_model.PeftMixedModel": "base_model",
    "peft.tuners.tuners_utils.BaseTuner": "model",
    **ADAPTED,
}
"""As `SHELLS`, of classes that do something of their own: dropped from names only."""

SAVED = "peft.utils.other.ModulesToSaveWrapper"
"""Holds a module twice; the copy that is active is the one that the model computes with."""


def held(module: nn.Module, kinds: Mapping[str, str]) -> str | None:
    """The attribute that holds what `module` wraps, if its class is one of `kinds`."""
    for kind in type(module).__mro__:  # that of no module has none of them
        attribute = kinds.get(f"{kind.__module__}.{kind.__qualname__}")
        if attribute and attribute in module._modules:
            return attribute
    return None


@attrs.frozen(eq=False)
class Place:
    """A module of a model. path: with every wrapper. name: without.

    reads: what a parameter is called here -> (name of its module, that module, its own name).
    """

    path: str
    name: str
    module: nn.Module
    reads: Mapping[str, tuple[str, nn.Module, str]]

    def read(self, local: str) -> tuple[str, nn.Module, str]:
        return self.reads.get(local, (self.name, self.module, local))


def places(model: nn.Module, unique: bool = True) -> Iterator[Place]:
    """Every module in definition order; one that is shared once, unless `unique` is False."""
    found: dict[str, Place] = {}
    dropped: set[str] = set()
    for path, module in model.named_modules(remove_duplicate=unique):
        parent, _, leaf = path.rpartition(".")
        name = ""
        if path:
            above = found[parent].name
            name = above if path in dropped else dotted(above, leaf)
        dropped |= {dotted(path, attribute) for attribute in _dropped(module)}
        owner = found.get(parent.rpartition(".")[0])
        if isinstance(module, ParametrizationList) and owner is not None:
            original = "original1" if isinstance(module[0], _WeightNorm) else "original"
            reads = {original: (owner.name, owner.module, leaf)}
        else:
            reads = {raw: (name, module, weight) for raw, weight in _recomputed(module)}
        found[path] = Place(path, name, module, reads)
        yield found[path]


def dotted(*parts: str) -> str:
    return ".".join(filter(None, parts))


def _dropped(module: nn.Module) -> Iterator[str]:
    """Paths below `module` that add nothing to a name."""
    attribute = held(module, SHELLS) or held(module, HOLDERS)
    if attribute:
        yield attribute
    if held(module, {SAVED: "modules_to_save"}):
        active: Any = module.active_adapters
        yield from ("modules_to_save", *(f"modules_to_save.{name}" for name in active))


def _recomputed(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Parameters from which hooks compute a weight before each pass, with its name."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod):
            yield f"{hook._tensor_name}_orig", hook._tensor_name
        elif isinstance(hook, SpectralNorm):
            yield f"{hook.name}_orig", hook.name
        elif isinstance(hook, WeightNorm):
            yield f"{hook.name}_v", hook.name


def as_written() -> contextlib.AbstractContextManager[Any]:
    """Run compiled modules as they are written; where none can be, the compiler stays out."""
    if "torch._dynamo" in sys.modules:
        return torch.compiler.set_stance("force_eager")
    return contextlib.nullcontext()
