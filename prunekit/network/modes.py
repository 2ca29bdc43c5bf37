"""What a forward pass leaves behind, undone: modes, attributes, memory, random numbers."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import is_not
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from prunekit.network.taint import tensors_in

HELD: Mapping[type, Callable[[Any], Any]] = {
    list: list.copy, deque: deque.copy, dict: dict.copy, set: set.copy,
    torch.Generator: torch.Generator.get_state,
}  # fmt: skip
"""Kind of attribute that changes in place -> what it holds."""


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


class Writes:
    """Keeps what memory of a model held before it was written to."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.watched = {
            t.untyped_storage()._cdata: t.untyped_storage()
            for t in tensors
            if t.layout == torch.strided and not t.is_meta
        }
        self.before: dict[int, Any] = {}

    def keep(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Before an operation writes: keep what it overwrites."""
        if not func._schema.is_mutable:
            return
        for argument, value in zip(func._schema.arguments, args):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._keep(value)
        self._keep(list(kwargs.values()))

    def _keep(self, value: Any) -> None:
        for tensor in tensors_in(value):
            if tensor.layout == torch.strided:
                key = tensor.untyped_storage()._cdata
                if key in self.watched and key not in self.before:
                    self.before[key] = self.watched[key].clone()

    def reached(self, tensor: Tensor) -> bool:
        """Whether the memory of `tensor` was written to."""
        return tensor.layout == torch.strided and tensor.untyped_storage()._cdata in self.before

    def undo(self) -> None:
        for key, before in self.before.items():
            self.watched[key].copy_(before)


@contextlib.contextmanager
def random_left_alone(devices: Sequence[int] = ()) -> Iterator[None]:
    """Afterwards the generators of torch (and of CUDA devices), Python and NumPy are as before."""
    python, numpys = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpys)


class _Watched:
    """Tells `writes` of each operation. No mode itself: torch would import its compiler."""

    def __init__(self, writes: Writes) -> None:
        super().__init__()
        self.writes = writes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.writes.keep(func, args, kwargs)
        return func(*args, **kwargs)


class _Watching(_Watched, TorchDispatchMode):
    """Watches the operations that run inside it."""


@contextlib.contextmanager
def unwritten(model: nn.Module) -> Iterator[None]:
    """Afterwards the parameters hold what they held; each operation inside costs a little."""
    writes = Writes([*model.parameters()])
    try:
        with _Watching(writes):
            yield
    finally:
        writes.undo()


@contextlib.contextmanager
def holding(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Afterwards these parameters hold what they held."""
    before = [(parameter, parameter.detach().clone()) for parameter in parameters]
    try:
        yield
    finally:
        for parameter, values in before:
            parameter.data.copy_(values)


@contextlib.contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Afterwards every module has the attributes that it had: no state of other examples.

    Parameters and buffers under their names too. Lists, deques, sets and dictionaries hold what
    they held, and generators stand where they stood.
    """
    attributes = [(vars(module), vars(module).copy()) for module in model.modules()]
    contents = [
        (value, HELD[type(value)](value))
        for own, _ in attributes
        for value in own.values()
        if type(value) in HELD
    ]
    try:
        yield
    finally:
        for own, before in attributes:
            if own.keys() != before.keys() or any(map(is_not, own.values(), before.values())):
                own.clear()
                own.update(before)
        for value, held in contents:
            _hold_again(value, held)


@contextlib.contextmanager
def left_alone(model: nn.Module, writes: Writes) -> Iterator[None]:
    """Afterwards the model and the generators are what they were."""
    tensors = [(t, t.data) for t in (*model.parameters(), *model.buffers())]
    flags = [(p, p.requires_grad, p.grad) for p in model.parameters()]
    devices = sorted({t.device.index for t, _ in tensors if t.is_cuda})
    try:
        with random_left_alone(devices), as_it_was(model):
            yield
    finally:
        for tensor, data in tensors:
            if tensor.data.data_ptr() != data.data_ptr() or tensor.shape != data.shape:
                tensor.data = data
        for parameter, flag, grad in flags:
            parameter.requires_grad_(flag)
            parameter.grad = grad
        writes.undo()


def _hold_again(value: Any, held: Any) -> None:
    """Give an attribute that changes in place what it held, see HELD."""
    if isinstance(value, torch.Generator):
        value.set_state(held)
    elif held or value:  # most of a module's hooks are empty
        value.clear()
        (value.update if isinstance(value, dict | set) else value.extend)(held)


@contextlib.contextmanager
def slow_attention() -> Iterator[None]:
    """Without the fused encoder layers, which hide their weights."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
