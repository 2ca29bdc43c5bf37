"""Along which dimensions of a parameter its entries are summed: the others number its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from torch import Tensor

PRODUCTS: Mapping[str, int] = {
    **dict.fromkeys(("mm", "bmm", "mv", "_grouped_mm", "_int_mm", "matmul"), 0),
    **dict.fromkeys(("addmm", "baddbmm", "addmv", "_addmm_activation"), 1),
}
"""Matrix products a @ b: the place of a."""


@attrs.frozen
class Layout:
    """How a value lies in memory, and which dimensions of parameters each of its own is.

    shape, stride, offset: of the value. dims: for each parameter that it was made of, by
    dimension of the value those of the parameter.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dims: Mapping[str, tuple[frozenset[int], ...]]

    @classmethod
    def of(cls, tensor: Tensor, dims: Mapping[str, tuple[frozenset[int], ...]]) -> Layout:
        return cls(tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()), dims)

    @classmethod
    def own(cls, name: str, parameter: Tensor) -> Layout:
        """That of a parameter itself."""
        return cls.of(parameter, {name: tuple(frozenset([d]) for d in range(parameter.ndim))})

    def view(self, tensor: Tensor) -> dict[str, tuple[frozenset[int], ...]]:
        """The same of a view of the value: by dimension of the view."""
        places = [self._within(n, s) for n, s in zip(tensor.shape, tensor.stride())]
        return {
            name: tuple(frozenset().union(*(dims[p] for p in place)) for place in places)
            for name, dims in self.dims.items()
        }

    def _within(self, size: int, step: int) -> list[int]:
        """The dimensions that `size` steps of so many entries move along."""
        return [
            d
            for d, (n, s) in enumerate(zip(self.shape, self.stride))
            if n > 1 and size > 1 and 0 < step < n * s and size * step > s
        ]


def summed(base: str, args: Sequence[Any]) -> Iterator[tuple[Tensor, tuple[int, ...]]]:
    """The operands of an operation, each with its dimensions that are summed; none where that is
    not told by its name."""
    if base in PRODUCTS:
        a, b = args[PRODUCTS[base] :][:2]
        yield a, (a.ndim - 1,)
        yield b, (max(b.ndim - 2, 0),)
    elif base == "_trilinear":
        yield args[1], (args[1].ndim - 2, args[1].ndim - 1)
    elif base == "convolution":
        kernel, turned, groups = args[1], args[6], args[8]
        if not turned:
            yield kernel, tuple(range(1, kernel.ndim))
        elif groups == 1:
            yield kernel, (0, *range(2, kernel.ndim))


def aligned(
    given: Sequence[tuple[Tensor, Mapping[str, tuple[frozenset[int], ...]]]], out: Tensor
) -> dict[str, tuple[frozenset[int], ...]]:
    """The dimensions of what was computed entry by entry, or by putting parts side by side.

    They are told from the last one on, as far as lengths agree or one is joined to others.
    """
    found: dict[str, tuple[frozenset[int], ...]] = {}
    for tensor, dims in given:
        for name, own in dims.items():
            places = [frozenset[int]()] * out.ndim
            for d in range(1, min(tensor.ndim, out.ndim) + 1):
                if tensor.shape[-d] != out.shape[-d] and tensor.ndim != out.ndim:
                    break
                places[-d] = own[-d]
            found[name] = tuple(places)
    return found
