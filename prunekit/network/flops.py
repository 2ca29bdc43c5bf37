"""Floating-point operations of one forward pass, dense and after pruning.

A multiply-add counts as 2, as in `torch.utils.flop_counter`; only matrix products, convolutions
and attention count. Masks alone make nothing faster: the effective count is what a kernel that
skips every zero would do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from prunekit.network.modes import eval_mode
from prunekit.network.names import Layer
from prunekit.network.wrappers import as_written


@attrs.frozen
class Flops:
    """Operations for one example. dense: of the whole model. per_layer: parameter name -> share."""

    dense: int
    per_layer: dict[str, int]


def count_flops(
    model: nn.Module, input_shape: tuple[int, ...], layers: Mapping[str, Layer]
) -> Flops | None:
    """Count one forward pass on a zero input of (1, *input_shape), in eval mode.

    An operation belongs to the layer whose parameter is among its operands, also through views
    (packed attention projections). A layer that transforms its weights first (standardisation)
    counts 0: its zeros do not stay zeros. None where the model cannot run on such an input. The
    model is left as it was.
    """
    parameter = next(iter(layers.values())).parameter
    example = torch.zeros(1, *input_shape, device=parameter.device, dtype=parameter.dtype)
    counter = _Counter({_memory(layer.parameter): name for name, layer in layers.items()})
    try:
        with eval_mode(model), torch.no_grad(), _countable(model), counter:
            model(example)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        return None
    return Flops(counter.dense, {name: counter.per_layer.get(name, 0) for name in layers})


def effective(flops: Flops, densities: Mapping[str, float]) -> int:
    """Operations when each layer does only the share `densities[name]` (0..1) of its own."""
    removed = (flops.per_layer[name] * (1 - density) for name, density in densities.items())
    return round(flops.dense - sum(removed))


class _Counts:
    """Adds up torch's own formulas, for the whole model and for each parameter.

    It is no dispatch mode itself: torch would wrap the method of one, and import its compiler.
    """

    def __init__(self, owners: Mapping[int, str]) -> None:
        super().__init__()
        self.owners = owners
        self.dense = 0
        self.per_layer: dict[str, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self._add(int(formula(*args, **kwargs, out_val=out)), args)
        return out

    def _add(self, count: int, operands: tuple[Any, ...]) -> None:
        self.dense += count
        for tensor in operands:
            owner = self.owners.get(_memory(tensor)) if isinstance(tensor, Tensor) else None
            if owner is not None:
                self.per_layer[owner] = self.per_layer.get(owner, 0) + count
                return


class _Counter(_Counts, TorchDispatchMode):
    """Counts what runs inside it."""


def _memory(tensor: Tensor) -> int:
    """Where a tensor's values live: equal for a parameter and all views of it."""
    return tensor.untyped_storage().data_ptr()


@contextlib.contextmanager
def _countable(model: nn.Module) -> Iterator[None]:
    """Switch off the fused kernels that torch has no formula for, and compiled modules' graphs."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    attention, recurrence = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.mkldnn.enabled = recurrence and not recurrent  # type: ignore[assignment]
    try:
        with sdpa_kernel(SDPBackend.MATH), as_written():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(attention)
        torch.backends.mkldnn.enabled = recurrence
