"""What a network really multiplies with, found without knowing its parameters by name.

An operand of a product is a weight where it is the same for two inputs and another for other
parameters. Values are compared, not memory: nothing here knows what `prunekit` thinks. Found once,
before pruning, a weight is known by the product that it is in: in a network that has collapsed no
operand depends on data any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
OPERANDS: dict[Any, tuple[int, ...]] = {
    aten.mm: (0, 1),
    aten.addmm: (1, 2),
    aten.bmm: (0, 1),
    aten.baddbmm: (1, 2),
    aten.mv: (0, 1),
    aten.addmv: (1, 2),
    aten._grouped_mm: (0, 1),
    aten.convolution: (1,),
    aten._convolution: (1,),
    aten.embedding: (0,),
    aten._embedding_bag: (0,),
    aten._trilinear: (0, 1, 2),
    aten.mkldnn_rnn_layer: (1, 2, 0),
}
"""Operation -> which of its arguments are multiplied."""


Key = tuple[str, ...]
Pass = Callable[[], object]


@attrs.frozen
class Operand:
    """A tensor that was multiplied: what it is known by, its entries, and those that are not 0."""

    key: Key
    entries: int
    nonzero: int

    @classmethod
    def of(cls, tensor: Tensor, distinct: bool = False) -> Operand:
        """Known by three means over its entries: the same for a transposed or repeated view.

        distinct: count each value once, as of a table of which rows are taken again and again.
        """
        x = tensor.detach().double()
        means = x.abs().mean(), x.square().mean(), (x * 1e6).sin().mean()  # the last for softmax
        key = tuple(f"{mean:.8e}" for mean in means)
        counted = tensor.unique() if distinct else tensor
        return cls(key, counted.numel(), int(torch.count_nonzero(counted)))


@attrs.frozen
class Product:
    """One operation: its operands, and what it is called together with what comes out."""

    name: str
    operands: tuple[Operand, ...]
    out: Key


class Products(TorchDispatchMode):
    """Inside, all that is multiplied, in order; distinct: (product, operand) to count so."""

    def __init__(self, distinct: Set[tuple[int, int]]) -> None:
        super().__init__()
        self.seen: list[Product] = []
        self.distinct = distinct

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        places = OPERANDS.get(func.overloadpacket)
        if places is not None:
            parts = [args[i] for i in places if i < len(args) and isinstance(args[i], Tensor)]
            out = result if isinstance(result, Tensor) else result[0]
            here = len(self.seen)
            operands = tuple(
                Operand.of(part, (here, j) in self.distinct) for j, part in enumerate(parts)
            )
            self.seen.append(Product(str(func), operands, Operand.of(out).key))
        return result


def products_of(run: Pass, distinct: Set[tuple[int, int]] = frozenset()) -> list[Product]:
    mha = torch.backends.mha
    fast = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)  # the fused encoder layer hides its products
    try:
        with torch.no_grad(), Products(distinct) as found:
            run()
    finally:
        mha.set_fastpath_enabled(fast)
    return found.seen


@contextmanager
def scaled(model: nn.Module) -> Iterator[None]:
    """Inside, every parameter is another, its zeros where they were."""
    before = [(p, p.detach().clone()) for p in model.parameters() if p.is_floating_point()]
    try:
        with torch.no_grad():
            for parameter, _ in before:
                parameter.mul_(1 + torch.rand(parameter.shape) / 8)
        yield
    finally:
        with torch.no_grad():
            for parameter, values in before:
                parameter.copy_(values)


@attrs.frozen
class Weights:
    """What a network multiplies with.

    places: of each weight (pass, product, operand). repeated: those in which an entry stands more
    than once. names: of the products.
    """

    passes: tuple[Pass, ...]
    total: int
    places: tuple[tuple[int, int, int], ...]
    names: tuple[tuple[str, ...], ...]
    repeated: frozenset[tuple[int, int, int]]

    @classmethod
    def of(cls, model: nn.Module, one: Pass, other: Pass) -> Weights:
        """one, other: forward passes in eval mode, on different data.

        Of a product that no data touch (latents by a projection) the last operand is the weight,
        and what comes out is none.
        """
        runs = products_of(one), products_of(other)
        with scaled(model):
            moved = keys_in(products_of(one))
        steady = keys_in(runs[0]) & keys_in(runs[1])
        made = {p.out for run in runs for p in run if len(p.operands) > 1 and touches(p, steady)}
        found: dict[Key, tuple[int, tuple[int, int, int]]] = {}
        for r, run in enumerate(runs):
            for i, product in enumerate(run):
                learned = [
                    (j, operand)
                    for j, operand in enumerate(product.operands)
                    if operand.key in steady - moved - made
                ]
                alone = len(product.operands) > 1 and touches(product, steady)
                for j, operand in learned[-1:] if alone else learned:
                    before = found.get(operand.key)
                    if before is None or operand.entries < before[0]:  # one may be repeated
                        found[operand.key] = operand.entries, (r, i, j)
        places = tuple(place for _, place in found.values())
        whole = cls((one, other), 0, places, tuple(map(names_in, runs)), frozenset())
        return whole.counted({parameter.numel() for parameter in model.parameters()})

    def counted(self, sizes: Set[int]) -> Weights:
        """The same with its total; sizes: of all parameters: what has another may be repeated."""
        plain = [products_of(run) for run in self.passes]
        odd = {(r, i, j) for r, i, j in self.places if plain[r][i].operands[j].entries not in sizes}
        once = [products_of(run, {(i, j) for s, i, j in odd if s == r}) for r, run in self.numbered]
        counts = {
            (r, i, j): (plain[r][i].operands[j].entries, once[r][i].operands[j].entries)
            for r, i, j in self.places
        }
        repeated = {place for place, (entries, values) in counts.items() if values < 0.75 * entries}
        total = sum(counts[place][place in repeated] for place in self.places)
        return attrs.evolve(self, total=total, repeated=frozenset(repeated))

    @property
    def numbered(self) -> list[tuple[int, Pass]]:
        return list(enumerate(self.passes))

    def nonzero(self) -> int:
        """How many are not 0 now; ValueError where the passes multiply otherwise than before."""
        distinct = [{(i, j) for s, i, j in self.repeated if s == r} for r, _ in self.numbered]
        runs = [products_of(run, which) for run, which in zip(self.passes, distinct)]
        if tuple(map(names_in, runs)) != self.names:
            raise ValueError("the network multiplies in another order than before")
        return sum(runs[r][i].operands[j].nonzero for r, i, j in self.places)


def keys_in(run: list[Product]) -> set[Key]:
    return {operand.key for product in run for operand in product.operands}


def names_in(run: list[Product]) -> tuple[str, ...]:
    return tuple(product.name for product in run)


def touches(product: Product, steady: set[Key]) -> bool:
    """Whether every operand is the same for all data."""
    return all(operand.key in steady for operand in product.operands)
