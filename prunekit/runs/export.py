"""A finished run's model for others: plain tensors, torch.nn.utils.prune's keys, or ONNX."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.contracts import Architecture, takes
from prunekit.errors import SpecError
from prunekit.network.modes import eval_mode
from prunekit.network.names import layers_of, parameters_of, state_names
from prunekit.resolve.faults import naming_faults
from prunekit.runs.running import load
from prunekit.selection.masks import Masks
from prunekit.spec.sections import Spec
from prunekit.storage.files import write_bytes
from prunekit.storage.runfolder import RunFolder, refuse_kept
from prunekit.storage.tensorfile import write_tensors


@torch.no_grad()
def bake(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """Zero the pruned weights of `model` in place; returns it."""
    for name, parameter in masked(model, masks).items():
        parameter.mul_(masks[name].to(parameter.device))
    return model


def masked(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """The parameters of `model` that have a mask, by name."""
    parameters = parameters_of(model)
    return {name: parameters[name] for name in masks}


def loaded(
    folder: str | Path, out: str | Path, trust: bool, arch: Any
) -> tuple[nn.Module, Masks, Spec]:
    """What `prunekit.load` gives; SpecError before that where `out` is a file of a run."""
    refuse_kept(out)
    return load(folder, trust=trust, arch=arch)


@naming_faults()
def to_state_dict(
    folder: str | Path, out: str | Path, *, trust: bool = False, arch: Any = None
) -> None:
    """Write the model's state_dict, pruned weights zero, as safetensors with plain keys.

    trust, arch: as `prunekit.load` has them, here and below.
    """
    model, masks, _ = loaded(folder, out, trust, arch)
    write_tensors(out, bake(model, masks).state_dict(), {"kind": "state-dict"})


@naming_faults()
def to_torch_prune(
    folder: str | Path, out: str | Path, *, trust: bool = False, arch: Any = None
) -> list[str]:
    """Write safetensors with the keys that torch.nn.utils.prune gives a pruned model.

    `conv.weight` becomes `conv.weight_orig`, and `conv.weight_mask` of 0.0 and 1.0 beside it. A
    model takes them by `load_state_dict` after `prune.identity(module, leaf)` on each parameter
    that has a `_mask` in the file. torch multiplies by the mask in a hook before a module's
    forward, so parameters of a module whose forward never runs, such as `out_proj` of attention,
    are written as they are, zeros included, and have no mask in the file: their names are
    returned. Tied weights: the name under which the mask is stored is the pruned one.
    """
    model, masks, spec = loaded(folder, out, trust, arch)
    shape = RunFolder(Path(folder)).read_summary()["input_shape"]
    tokens = takes(spec.arch) == "tokens"
    example = torch.zeros(2, *shape, dtype=torch.int64 if tokens else torch.float32)
    ran, layers = modules_run(model, example), layers_of(model)
    hooked = {name: mask for name, mask in masks.items() if layers[name].module in ran}
    write_tensors(out, pruned_keys(bake(model, masks), hooked), {"kind": "torch-nn-prune"})
    return [name for name in masks if name not in hooked]


@torch.no_grad()
def modules_run(model: nn.Module, example: Tensor) -> set[nn.Module]:
    """The modules of `model` whose forward is called when it is given `example`."""
    ran: set[nn.Module] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, args: ran.add(module))
        for module in model.modules()
    ]
    try:
        with eval_mode(model):
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return ran


def pruned_keys(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state_dict of `model` with `_orig` and `_mask` for every masked parameter."""
    tensors: dict[str, Tensor] = {}
    names = state_names(model)
    for path, value in model.state_dict().items():
        if names[path] in masks:
            tensors[f"{path}_orig"] = value
            tensors[f"{path}_mask"] = masks[names[path]].to(value.dtype)
        else:
            tensors[path] = value
    return tensors


@naming_faults()
def to_onnx(folder: str | Path, out: str | Path, *, trust: bool = False, arch: Any = None) -> None:
    """Write ONNX for float inputs (batch, *input_shape); pruned weights are zeros in it.

    Raises SpecError when onnx or onnxscript is not installed, and for a network of tokens.
    """
    require_onnx()
    model, masks, spec = loaded(folder, out, trust, arch)
    refuse_tokens(spec.arch)
    shape = RunFolder(Path(folder)).read_summary()["input_shape"]
    write_bytes(out, onnx_bytes(bake(model, masks).eval(), torch.zeros(2, *shape)))


def refuse_tokens(arch: Architecture | None) -> None:
    """SpecError for an architecture that takes tokens: the example for ONNX is of floats."""
    if takes(arch) == "tokens":
        raise SpecError("onnx is written for images, and this network takes tokens; export others")


def require_onnx() -> None:
    """SpecError unless onnx and onnxscript are installed."""
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise SpecError(
            f"export to onnx needs {' and '.join(missing)}: pip install 'prunekit[onnx]'"
        )


def onnx_bytes(model: nn.Module, example: Tensor) -> bytes:
    """`model` as ONNX, traced with `example` of (batch, ...); the batch size is left free."""
    batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            model, (example,), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its steps and warns of its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
