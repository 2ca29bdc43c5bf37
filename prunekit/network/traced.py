"""One forward pass, watched: which parameters does the network multiply with?"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from prunekit.network.ledger import Ledger
from prunekit.network.modes import Writes, eval_mode, left_alone, slow_attention
from prunekit.network.names import layers_of
from prunekit.network.taint import DATA, Taint, Use, tensors_in
from prunekit.network.wrappers import as_written

Uses = Mapping[str, Use]
"""Parameter name -> what one forward pass did with it."""


def uses_of(model: nn.Module, run: Callable[[], object]) -> dict[str, Use]:
    """What the forward pass that `run` makes does with each parameter of `model`, by name.

    run: calls `model`, bare or wrapped, on a batch of at least two examples. It is run once, in
    eval mode, without gradients; afterwards parameters, buffers, attributes, modes and generators
    are what they were, also where it raises, which is passed on.
    """
    parameters = {name: layer.parameter for name, layer in layers_of(model).items()}
    return watched(model, parameters, run)[0].uses


def watched(
    model: nn.Module, parameters: Mapping[str, Tensor], run: Callable[[], Any]
) -> tuple[Ledger, Any]:
    """Run `run` as `uses_of` does; what is known then of every value, and what `run` returned."""
    held = [t for module in model.modules() for t in tensors_in(list(_state(module).values()))]
    strangers = list(_strangers(model))
    ledger = Ledger(parameters, [*held, *(tensor for _, _, tensor in strangers)])
    for name, why, tensor in strangers:
        if tensor.layout == torch.strided and ledger.key(tensor) not in ledger.owned:
            ledger.strangers.setdefault(ledger.key(tensor), (name, why, tensor))
    writes = Writes([*held, *parameters.values()])
    with (
        warnings.catch_warnings(action="ignore"),
        left_alone(model, writes),
        torch.inference_mode(False),
        torch.no_grad(),
        eval_mode(model),
        slow_attention(),
        as_written(),
        _inputs_are_data(model, ledger),
        _Functions(ledger),
        _Operations(ledger, writes),
    ):
        value = run()
    with torch.no_grad():
        ledger.settle()
    for name, parameter in parameters.items():
        ledger.uses[name].written = writes.reached(parameter)
    return ledger, value


def _state(module: nn.Module) -> dict[str, Any]:
    """A module's own attributes, buffers and parameters."""
    held: dict[str, Any] = dict(vars(module))
    return {key: value for key, value in held.items() if key != "_modules"}


def _strangers(model: nn.Module) -> Iterator[tuple[str, str, Tensor]]:
    """(name, why, tensor) for floating tensors that modules hold and that are no parameters."""
    if isinstance(model, torch.jit.ScriptModule):
        return
    for path, module in model.named_modules():
        buffers = dict(module.named_buffers(recurse=False))
        found = {name: ("a buffer", buffer) for name, buffer in buffers.items()}
        for name, value in vars(module).items():
            if not name.startswith("_"):
                found |= {n: ("no parameter of the model", t) for n, t in _inside(name, value)}
        for name, (why, tensor) in found.items():
            if tensor.is_floating_point() or tensor.is_complex():
                yield f"{path}.{name}".lstrip("."), why, tensor


def _inside(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors of an attribute: its own, those of a list of it, or of modules there."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, nn.Module):
        yield from ((f"{name}.{n}", p.detach()) for n, p in value.named_parameters())
    elif isinstance(value, list | tuple | dict):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in items:
            if isinstance(part, Tensor | nn.Module | list | tuple | dict):
                yield from _inside(f"{name}.{key}", part)


@contextlib.contextmanager
def _inputs_are_data(model: nn.Module, ledger: Ledger) -> Iterator[None]:
    """What the model is called on is data, also where the pass itself makes it."""
    if isinstance(model, torch.jit.ScriptModule):
        yield
        return

    def mark(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for tensor in tensors_in([*args, kwargs]):
            if tensor.numel() and not ledger.owners(tensor):
                ledger.mark(tensor, Taint(DATA))

    handle = model.register_forward_pre_hook(mark, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


class _Noted:
    """Notes each operation. It is no mode itself: torch would wrap the method of one, and import
    its compiler."""

    def __init__(self, ledger: Ledger, writes: Writes) -> None:
        super().__init__()
        self.ledger, self.writes = ledger, writes

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        with self:  # type: ignore[attr-defined]
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        self.writes.keep(func, args, kwargs)
        out = func(*args, **kwargs)
        self.ledger.note(func, args, kwargs, out)
        return out


class _Operations(_Noted, TorchDispatchMode):
    """Notes the operations that run inside it."""


class _Calls:
    """Says which operand of F.linear is its input, and what attention multiplies."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        inside = INSIDE.get(func)
        if func is torch.einsum and _sums(*args):
            inside = "einsum"
        if inside is None:
            return func(*args, **(kwargs or {}))
        setattr(self.ledger, inside, getattr(self.ledger, inside) + 1)
        try:
            return func(*args, **(kwargs or {}))
        finally:
            setattr(self.ledger, inside, getattr(self.ledger, inside) - 1)


INSIDE = {F.linear: "linear", F.scaled_dot_product_attention: "attention"}


def _sums(equation: Any, *_: Any) -> bool:
    """Whether an einsum sums over an index."""
    given, arrow, out = equation.partition("->") if isinstance(equation, str) else ("", "", "")
    return bool(arrow) and bool(set(given) - set(out) - set(", ."))


class _Functions(_Calls, TorchFunctionMode):
    """Notes the functions that run inside it."""
