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
    ledger = Ledger(parameters, held)
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
    return ledger, value


def _state(module: nn.Module) -> dict[str, Any]:
    """A module's own attributes, buffers and parameters."""
    held: dict[str, Any] = dict(vars(module))
    return {key: value for key, value in held.items() if key != "_modules"}


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
        inside = {F.linear: "linear", F.scaled_dot_product_attention: "attention"}.get(func)
        if inside is None:
            return func(*args, **(kwargs or {}))
        setattr(self.ledger, inside, getattr(self.ledger, inside) + 1)
        try:
            return func(*args, **(kwargs or {}))
        finally:
            setattr(self.ledger, inside, getattr(self.ledger, inside) - 1)


class _Functions(_Calls, TorchFunctionMode):
    """Notes the functions that run inside it."""
