"""What a model multiplies its parameters with: squared norms, over all uses of each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from prunekit.network.composed import COMPOSED
from prunekit.network.model import Network
from prunekit.network.operands import READERS, Energies, attention, bags
from prunekit.network.positions import LOOK_UPS, CountedRows
from prunekit.network.precision import in_place

Back = Callable[[Tensor], Tensor]
"""Energies of a copy's shape -> energies of the shape of what it was made of."""


@attrs.frozen(eq=False)
class Copy:
    """A tensor made of `source`, a tracked one, alone: entry by entry, or rows looked up."""

    tensor: Tensor
    source: Tensor
    back: Back


class EnergyRecorder(TorchFunctionMode):
    """While active, adds up ||X_(i)||^2 of the parameters, by name in `energies`.

    X_(i) is what entry i is multiplied with. A view of a parameter counts for the parameter's
    entries that it shows, and so does what is computed from it alone, entry by entry (a cast,
    weight norm) or by looking up rows. rows: those of the inputs that count; None = all.
    Make it inside `scoring_mode`, which may give parameters other memory.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.energies: dict[str, Tensor] = {}
        self.rows: CountedRows | None = None
        self._homes: dict[int, list[tuple[str, Tensor]]] = {}
        for name, parameter in network.effective.items():
            self._homes.setdefault(place(parameter), []).append((name, parameter))
        self._copies: dict[int, Copy] = {}
        self._held = [*network.model.parameters(), *network.model.buffers()]
        self._still: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [*tensors_in((args, kwargs))]
        if func in READERS and any(self._tracked(t) for t in given):
            with torch.no_grad():
                for operand, energy in self._read(func, args, kwargs):
                    self._add(operand, energy)
        elif func in COMPOSED and any(self._tracked(t) for t in given):
            with torch.no_grad(), self:
                COMPOSED[func](*args, **kwargs)
        result = func(*args, **kwargs)
        if self.rows is not None:
            self.rows.follow(func, args, kwargs, given, result)
        self._follow(func, args, given, result)
        return result

    @contextlib.contextmanager
    def batch(self, inputs: Any) -> Iterator[None]:
        """Record what is computed inside from a batch's inputs; their attention mask counts."""
        self.rows = CountedRows.given(inputs)
        self._copies.clear()
        self._still = {place(tensor): tensor for tensor in self._held}
        with self:
            yield

    def _read(self, func: Any, args: Any, kwargs: Any) -> Energies:
        """The energies of an operation, of the rows that count."""
        rows = self.rows
        if rows is None:
            return READERS[func](*args, **kwargs)
        if func is F.multi_head_attention_forward:  # which positions meet is what it was
            return attention(*args, counted=rows.of, **kwargs)
        if func is F.embedding_bag:
            return bags(*args, counted=rows.rows_of(args[0]), **kwargs)
        return READERS[func](*self._counted(args), **self._counted(kwargs))

    def _counted(self, value: Any) -> Any:
        """The arguments of an operation without the rows that do not count."""
        if self.rows is None:
            return value
        if isinstance(value, Tensor):
            return value if self._tracked(value) else self.rows.of(value)
        if isinstance(value, dict):
            return {name: self._counted(part) for name, part in value.items()}
        return type(value)(map(self._counted, value)) if type(value) in (tuple, list) else value

    def _tracked(self, tensor: Tensor) -> bool:
        return place(tensor) in self._homes or place(tensor) in self._copies

    def _follow(self, func: Any, args: Any, given: list[Tensor], result: Any) -> None:
        """Note what was made of tracked tensors and constants alone."""
        still = all(place(tensor) in self._still for tensor in given)
        if given and not still and in_place(func):
            self._still.pop(place(given[0]), None)
        if not isinstance(result, Tensor) or place(result) in self._still:
            return
        if looked_up(func, args) and self._tracked(args[0]):
            self._made(result, args[0], rows_back(args[0], args[-1]))
        elif still:
            self._still[place(result)] = result
            same = (t for t in given if self._tracked(t) and t.shape == result.shape)
            source = next(same, None)
            if source is not None and func not in READERS:
                self._made(result, source, lambda energy: energy)

    def _made(self, result: Tensor, source: Tensor, back: Back) -> None:
        self._still[place(result)] = result
        self._copies[place(result)] = Copy(result, source, back)

    def _add(self, operand: Tensor, energy: Tensor) -> None:
        home = place(operand)
        copy = self._copies.get(home)
        if copy is not None:
            if operand.is_complex() and not copy.tensor.is_complex():
                operand, energy = halves(operand, energy)
            self._add(copy.source, copy.back(spread(copy.tensor, operand, energy)))
            return
        if operand.is_complex() and home in self._homes:
            operand, energy = halves(operand, energy)
        for name, parameter in self._homes.get(home, ()):
            if shows(operand, parameter):
                energy = spread(parameter, operand, energy)
                before = self.energies.get(name)
                self.energies[name] = energy if before is None else before + energy
                return


def looked_up(func: Any, args: Any) -> bool:
    """Whether the operation looks up whole rows by number."""
    index = args[-1] if func in LOOK_UPS else None
    along = args[1] == 0 if func in LOOK_UPS[1:] and len(args) == 3 else True
    return isinstance(index, Tensor) and not index.is_floating_point() and along


def rows_back(source: Tensor, index: Tensor) -> Back:
    """From the energies of rows `index` (of any shape, numbers or bool) to those of all."""

    def back(energy: Tensor) -> Tensor:
        whole = torch.zeros_like(source, dtype=energy.dtype)
        shape = source[index].shape
        return whole.index_put_((index,), energy.expand(shape), accumulate=True)

    return back


def place(tensor: Tensor) -> int:
    """The memory that a tensor lies in, whatever view of it this is; itself where it has none, as
    inside torch.func.vmap."""
    if tensor.layout != torch.strided or torch._C._functorch.is_batchedtensor(tensor):
        return id(tensor)
    return tensor.untyped_storage().data_ptr()


def halves(operand: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
    """A complex view of real numbers as these, which are multiplied with the same."""
    plain = operand.conj() if operand.is_conj() else operand
    return torch.view_as_real(plain), energy.expand(plain.shape).unsqueeze(-1)


def shows(view: Tensor, whole: Tensor) -> bool:
    """Whether the view starts among the entries of `whole`, of the same memory."""
    start = view.storage_offset() - whole.storage_offset()
    return bool(0 <= start < max(whole.numel(), 1))


def spread(whole: Tensor, view: Tensor, energy: Tensor) -> Tensor:
    """Energies of the entries that `view` shows, in the shape of `whole`; 0 for the others.

    As they are where the view shows all in the same order.
    """
    layout = (view.shape, view.stride(), view.storage_offset())
    if layout == (whole.shape, whole.stride(), whole.storage_offset()):
        return energy
    energy = energy.expand(torch.broadcast_shapes(energy.shape, view.shape))
    repeated = [
        dim
        for dim, (size, step) in enumerate(zip(view.shape, view.stride()))
        if size > 1 and not step
    ]
    if repeated:
        energy = energy.sum(repeated, keepdim=True)
    out = torch.zeros_like(whole, dtype=energy.dtype)  # in memory as `whole` lies
    offset = view.storage_offset() - whole.storage_offset()
    out.as_strided(energy.shape, view.stride(), offset).add_(energy)
    return out


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif type(value) in (tuple, list):
        for part in value:
            yield from tensors_in(part)
