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

from prunekit.network.operations import (
    AS_A_WHOLE,
    LIKE,
    LOOKUPS,
    PRODUCTS,
    keeps_zeros,
    kernel_of,
    recurrent_weights,
)

CONSTANT, COMPUTED, DATA = range(3)


@attrs.define
class Use:
    """What one pass did with a parameter.

    reached: some operation read it. operand: it was one of a matrix product, a convolution or a
    recurrent kernel. looked_up: rows of it were taken by data. scaled: it was multiplied with data
    entry by entry. opaque: an operation that nobody knows read it. zeros: whether its zeros were
    zeros of every operand that it became.
    """

    reached: bool = False
    operand: bool = False
    looked_up: bool = False
    scaled: bool = False
    opaque: bool = False
    zeros: bool = True


@attrs.frozen
class Taint:
    """What is known of a value.

    sources: parameter -> whether its zeros are zeros of the value. factors: the parameters of
    products that the value was made of -> whether their zeros count as those of an operand.
    """

    kind: int = CONSTANT
    sources: Mapping[str, bool] = attrs.field(factory=dict)
    factors: Mapping[str, bool] = attrs.field(factory=dict)


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


class Ledger:
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

    def note(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        """Take down what an operation did: which parameters it used, and what its outputs are."""
        base = func._schema.name.partition("::")[2]
        given = [*tensors_in(args), *tensors_in(kwargs)]
        outputs, mutable = list(tensors_in(out)), func._schema.is_mutable
        if base.startswith("lift"):
            self.mark(given[0], Taint())
            return
        keys = {self.key(tensor) for tensor in given}
        if not mutable and all(self.key(output) in keys for output in outputs) and outputs:
            return  # a view
        self._reach(given)
        taint = self._outcome(func, base.removesuffix("_"), args, kwargs, given)
        for output in outputs or (given[:1] if mutable else ()):
            self._give(output, taint, mutable and self.key(output) in keys)

    def _reach(self, given: Sequence[Tensor]) -> None:
        for tensor in given:
            for name in self.owners(tensor):
                self.uses[name].reached = True

    def _give(self, output: Tensor, taint: Taint, written: bool) -> None:
        """Say what an output is; memory that was written to keeps what else it holds."""
        if self.key(output) in self.owned:
            return  # a parameter that is written stays one
        if written:
            old = self.of(output)
            sources, factors = both(old.sources, taint.sources), both(old.factors, taint.factors)
            taint = Taint(max(old.kind, taint.kind), sources, factors)
        self.mark(output, taint)

    def _outcome(
        self,
        func: Any,
        base: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        given: Sequence[Tensor],
    ) -> Taint:
        if base in PRODUCTS:
            operands = [args[i] for i in PRODUCTS[base] if i < len(args)]
            return self._product([t for t in operands if isinstance(t, Tensor)], given)
        kernel = kernel_of(func, base, args, kwargs)
        if kernel is not None:
            return self._convolution(kernel, given)
        if base in LOOKUPS and self._looked_up(base, args):
            return Taint(DATA) if "embedding" in base else self._mixed(func, base, args, given)
        recurrent = recurrent_weights(func, base, args)
        if recurrent:
            for tensor in recurrent:
                self._count(self.of(tensor).sources)
            return Taint(DATA)
        if base.endswith(LIKE[0]) or base.startswith(LIKE[1]):
            return Taint()
        if func.namespace not in ("aten", "prims"):
            self._opaque(given)
        return self._mixed(func, base, args, given)

    def _count(self, sources: Mapping[str, bool]) -> None:
        for name, zeros in sources.items():
            self.uses[name].operand = True
            self.uses[name].zeros &= zeros

    def _product(self, operands: Sequence[Tensor], given: Sequence[Tensor]) -> Taint:
        """A product counts its operands; without data its result is a constant made of factors."""
        taints = [self.of(tensor) for tensor in operands]
        data = any(taint.kind == DATA for taint in taints)
        for place, (tensor, taint) in enumerate(zip(operands, taints)):
            fed = bool(self.linear) and place == 0  # the input of F.linear
            if taint.kind == DATA:
                self._count(self._matrices({} if fed else taint.sources))
            elif taint.kind == COMPUTED and not self.attention and not fed:
                self._count(taint.sources if data else self._not_spread(tensor, taint.sources))
            if data and self.linear and place == 1:
                self._lower(taint.factors)
        if any(self.of(tensor).kind == DATA for tensor in given):
            return Taint(DATA)
        addends = [self.of(t) for t in given if not any(t is operand for operand in operands)]
        sources = {name: False for addend in addends for name in addend.sources}
        return Taint(COMPUTED if sources else CONSTANT, sources, self._factors(taints))

    def _matrices(self, sources: Mapping[str, bool]) -> dict[str, bool]:
        """Those of two large dimensions: what of the data may be a kernel that data changed."""
        return {n: zeros for n, zeros in sources.items() if is_matrix(self.parameters[n])}

    def _not_spread(self, tensor: Tensor, sources: Mapping[str, bool]) -> dict[str, bool]:
        """Without data: not what is larger than its parameter, as latents of each example are."""
        size = tensor.numel()
        return {n: zeros for n, zeros in sources.items() if size <= self.parameters[n].numel()}

    def _factors(self, taints: Sequence[Taint]) -> dict[str, bool]:
        """Whether the zeros of each factor of a product without data count: no rotation hides them.

        taints: of the operands. A constant that is fed to F.linear is data of a kind.
        """
        factors: dict[str, bool] = {}
        for place, taint in enumerate(taints):
            others = [other for other in taints if other is not taint]
            plain = (bool(self.linear) and place == 1) or all(
                (other.sources or other.factors)
                and all((*other.sources.values(), *other.factors.values()))
                for other in others
            )
            own = both(taint.factors, {n: zeros and plain for n, zeros in taint.sources.items()})
            factors = both(factors, own)
        return factors

    def _lower(self, factors: Mapping[str, bool]) -> None:
        """A product is the weight: zeros of its factors count, or they do not."""
        for name, zeros in factors.items():
            self.uses[name].zeros &= zeros

    def _convolution(self, kernel: Tensor, given: Sequence[Tensor]) -> Taint:
        taint = self.of(kernel)
        self._count(taint.sources)
        self._lower(taint.factors)
        data = any(self.of(tensor).kind == DATA for tensor in given)
        return Taint(DATA) if data else Taint(CONSTANT, {}, self._factors([taint, Taint()]))

    def _looked_up(self, base: str, args: Sequence[Any]) -> bool:
        """Note a table of which data take rows, or that an embedding reads; whether data do."""
        table, indices = self.of(args[0]), list(tensors_in(list(args[1:])))
        by_data = any(self.of(index).kind == DATA for index in indices)
        if table.kind == COMPUTED and (by_data or "embedding" in base):
            for name in table.sources:
                self.uses[name].looked_up = True
                self.uses[name].zeros &= table.sources[name]
        return by_data

    def _opaque(self, given: Sequence[Tensor]) -> None:
        for tensor in given:
            taint = self.of(tensor)
            for name in taint.sources if taint.kind == COMPUTED and tensor.ndim > 1 else ():
                self.uses[name].opaque = True

    def _mixed(self, func: Any, base: str, args: Sequence[Any], given: Sequence[Tensor]) -> Taint:
        """Of any other operation: the sources of its largest arguments, if their zeros may stay."""
        if "norm" in base:
            given = given[:1]
        taints = [(tensor, self.of(tensor)) for tensor in given]
        kind = max((taint.kind for _, taint in taints), default=CONSTANT)
        if kind == DATA and base in ("mul", "div", "addcmul"):
            self._scale([taint for _, taint in taints if taint.kind == COMPUTED])
        kept = keeps_zeros(base, args, [(t, taint.sources) for t, taint in taints])
        if kind == DATA and not kept:
            return Taint(DATA)
        of_any = [t.numel() for t, made in taints if made.sources or made.factors or kind == DATA]
        largest = max(of_any, default=0)
        sources, factors = dict[str, bool](), dict[str, bool]()
        for tensor, taint in taints:
            if base in AS_A_WHOLE or tensor.numel() >= largest:
                sources = both(sources, {n: zeros and kept for n, zeros in taint.sources.items()})
                factors = both(factors, taint.factors)
        return Taint(kind, sources, {} if kind == DATA else factors)

    def _scale(self, taints: Iterable[Taint]) -> None:
        for taint in taints:
            for name in taint.sources:
                self.uses[name].scaled = True


def is_matrix(parameter: Tensor) -> bool:
    """Whether a tensor has two dimensions larger than 1."""
    return sum(length > 1 for length in parameter.shape) > 1
