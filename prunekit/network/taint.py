"""Which parameters a value was made of: taint by storage, operation by operation.

A tensor is CONSTANT, COMPUTED from parameters alone, or touched by DATA. It is known by its
storage, which all views share, held by a weak reference so that no address is used again. What a
pass finds of a parameter is a `Use`; the rules are those of docs/maskable.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from prunekit.network.axes import Layout, aligned, summed

CONSTANT, COMPUTED, DATA = range(3)


@attrs.define
class Use:
    """What one pass did with a parameter.

    reached: some operation read it. operand: it was one of a matrix product, a convolution or a
    recurrent kernel. looked_up: rows of it were taken by data. scaled: it was multiplied with data
    entry by entry. opaque: an operation that nobody knows read it. zeros: whether its zeros were
    zeros of every operand that it became. written: the pass wrote to it. summed: for each way it
    was an operand, its dimensions that were summed with those of data; empty where that is not
    told.
    """

    reached: bool = False
    operand: bool = False
    looked_up: bool = False
    scaled: bool = False
    opaque: bool = False
    zeros: bool = True
    written: bool = False
    summed: set[frozenset[int]] = attrs.field(factory=set)


@attrs.frozen
class Taint:
    """What is known of a value.

    sources: parameter -> whether its zeros are zeros of the value. factors: the parameters of
    products that the value was made of -> whether their zeros count as those of an operand.
    layout: how dimensions of the sources lie in it; None = not known.
    """

    kind: int = CONSTANT
    sources: Mapping[str, bool] = attrs.field(factory=dict)
    factors: Mapping[str, bool] = attrs.field(factory=dict)
    layout: Layout | None = None


def both(one: Mapping[str, bool], other: Mapping[str, bool]) -> dict[str, bool]:
    """The union; True where neither says False."""
    return {name: one.get(name, True) and other.get(name, True) for name in [*one, *other]}


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of an argument: itself, or those of a list, at any depth."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def span(tensor: Tensor) -> tuple[int, int]:
    """The bytes of its storage that a tensor lies within, from and to."""
    steps = sum((n - 1) * abs(s) for n, s in zip(tensor.shape, tensor.stride()))
    start, size = int(tensor.storage_offset()), tensor.element_size()
    return start * size, (start + steps + 1) * size if tensor.numel() else start * size


class Values:
    """What is known of every value of one pass, and the use that was made of each parameter."""

    def __init__(self, parameters: Mapping[str, Tensor], constants: Iterable[Tensor]) -> None:
        self.uses = {name: Use() for name in parameters}
        self.parameters = dict(parameters)
        self.taints: dict[int, tuple[Any, Taint]] = {}
        self.owned: dict[int, list[tuple[str, tuple[int, int]]]] = {}
        self.linear = self.attention = 0  # how deep the pass is inside F.linear and attention
        for tensor in constants:
            self.mark(tensor, Taint())
        for name, parameter in parameters.items():
            if parameter.layout == torch.strided:
                key = self.key(parameter)
                self.owned.setdefault(key, []).append((name, span(parameter)))
                self.taints.pop(key, None)
            else:
                self.mark(parameter, Taint(COMPUTED, {name: True}))

    def key(self, tensor: Tensor) -> int:
        """What all views of a value share."""
        if tensor.layout != torch.strided:
            return id(tensor)
        return tensor.untyped_storage()._cdata

    def mark(self, tensor: Tensor, taint: Taint) -> None:
        """Say what a value is; it is held, weakly, so that its key stays its own."""
        strided = tensor.layout == torch.strided
        held = StorageWeakRef(tensor.untyped_storage()) if strided else tensor
        self.taints[self.key(tensor)] = (held, taint)

    def of(self, tensor: Tensor) -> Taint:
        """What is known of a value; one that nobody made or holds is of the data."""
        key = self.key(tensor)
        if key in self.owned:
            return Taint(COMPUTED, dict.fromkeys(self.owners(tensor), True))
        if key in self.taints:
            return self.taints[key][1]
        return Taint(DATA if tensor.ndim and tensor.numel() else CONSTANT)

    def owners(self, tensor: Tensor) -> list[str]:
        """The parameters that lie where `tensor` lies."""
        owned = self.owned.get(self.key(tensor), ())
        if len(owned) < 2:
            return [name for name, _ in owned]
        start, end = span(tensor)
        return [name for name, (low, high) in owned if low < end and start < high]

    def layout(self, tensor: Tensor) -> Layout | None:
        """How the parameter that `tensor` shows, or those it was computed of, lie in memory."""
        if tensor.layout != torch.strided:
            return None
        if self.key(tensor) not in self.owned:
            return self.of(tensor).layout
        names = self.owners(tensor)
        return Layout.own(names[0], self.parameters[names[0]]) if len(names) == 1 else None

    def sum_up(self, base: str, args: Sequence[Any]) -> None:
        """Take down along which dimensions a product with data sums its parameters."""
        if not any(self.of(tensor).kind == DATA for tensor in tensors_in(args)):
            return
        for tensor, axes in summed(base, args):
            layout = self.layout(tensor)
            for name, dims in (layout.view(tensor) if layout else {}).items():
                inner, outer = (
                    frozenset[int]().union(
                        *(own for d, own in enumerate(dims) if (d in axes) == of)
                    )
                    for of in (True, False)
                )
                self.uses[name].summed.add(frozenset() if inner & outer else inner)

    def laid(self, base: str, given: Sequence[Tensor], output: Tensor, taint: Taint) -> Taint:
        """The taint of a result, with how dimensions of its sources lie in it."""
        if output.layout != torch.strided or (base.endswith("_copy") and base != "_to_copy"):
            return taint
        layouts = [(tensor, self.layout(tensor)) for tensor in given]
        parts = [(tensor, layout.view(tensor)) for tensor, layout in layouts if layout]
        return attrs.evolve(taint, layout=Layout.of(output, aligned(parts, output)))

    def reach(self, given: Sequence[Tensor]) -> None:
        for tensor in given:
            for name in self.owners(tensor):
                self.uses[name].reached = True

    def count(self, sources: Mapping[str, bool]) -> None:
        for name, zeros in sources.items():
            self.uses[name].operand = True
            self.uses[name].zeros &= zeros

    def lower(self, factors: Mapping[str, bool]) -> None:
        """A product is the weight: zeros of its factors count, or they do not."""
        for name, zeros in factors.items():
            self.uses[name].zeros &= zeros


def is_matrix(parameter: Tensor) -> bool:
    """Whether a tensor has two dimensions larger than 1."""
    return sum(length > 1 for length in parameter.shape) > 1
