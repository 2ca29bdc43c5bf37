"""What a network really multiplies with, found without knowing its parameters by name.

An operand of a product is a weight where it is the same for two inputs and another for other
parameters. Values are compared, not memory: nothing here knows what `prunekit` thinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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


class Operands(TorchDispatchMode):
    """Inside, the values of all that is multiplied: `seen` maps their key to (entries, zeros).

    products: for each operation the keys of its operands, and that of what comes out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[Key, tuple[int, int]] = {}
        self.products: list[tuple[tuple[Key, ...], Key]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        places = OPERANDS.get(func.overloadpacket)
        if places is not None:
            parts = [args[i] for i in places if i < len(args) and isinstance(args[i], Tensor)]
            out = result if isinstance(result, Tensor) else result[0]
            self.products.append((tuple(map(self._noted, parts)), key_of(out)))
        return result

    def _noted(self, tensor: Tensor) -> Key:
        key, zeros = key_of(tensor), tensor.numel() - int(torch.count_nonzero(tensor))
        if key not in self.seen or self.seen[key][0] > tensor.numel():  # one may be repeated
            self.seen[key] = (tensor.numel(), zeros)
        return key


Key = tuple[str, str]


def key_of(tensor: Tensor) -> Key:
    """Mean size and mean square of the values: the same for a transposed or repeated view."""
    values = tensor.detach().double()
    return f"{values.abs().mean():.8e}", f"{values.square().mean():.8e}"


def operands_of(run: Callable[[], object]) -> Operands:
    with torch.no_grad(), Operands() as found:
        run()
    return found


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


def multiplied_with(
    model: nn.Module, one: Callable[[], object], other: Callable[[], object]
) -> tuple[int, int]:
    """(entries, nonzero ones) of the weights that `model` multiplies with.

    one, other: forward passes, in eval mode, on different data. Of a product of tensors that no
    data touch (latents by a projection) the last is the weight, and what comes out is none.
    """
    backends = torch.backends.mha
    fast = backends.get_fastpath_enabled()
    backends.set_fastpath_enabled(False)  # the fused encoder layer hides its products
    try:
        first, second = operands_of(one), operands_of(other)
        with scaled(model):
            moved = operands_of(one)
    finally:
        backends.set_fastpath_enabled(fast)
    fixed = (first.seen.keys() & second.seen.keys()) - moved.seen.keys()
    met, made = set(), set()
    for product, out in first.products + second.products:
        alone = all(part in fixed for part in product)
        met |= {part for part in (product[-1:] if alone else product) if part in fixed}
        made |= {out} if alone and len(product) > 1 else set()
    counts = [first.seen[key] for key in met - made]
    return sum(n for n, _ in counts), sum(n - zeros for n, zeros in counts)
