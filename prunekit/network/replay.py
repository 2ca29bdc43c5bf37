"""How a pass computed a value from parameters, done again with other values of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from prunekit.network.taint import tensors_in

Place = tuple[tuple[int, ...], tuple[int, ...], int, torch.dtype]
"""Shape, strides, offset and type: how a tensor lies in its storage."""

Leaf = Callable[[Tensor], Tensor | None]
"""What to put for a tensor that is (a view of) a parameter; None for others."""


@attrs.frozen(eq=False)
class Made:
    """One operation. parts: storage -> how that argument was made. place: of its output, which is
    the one numbered `which`; written: the operation writes to its first argument instead."""

    func: Any
    args: Any
    kwargs: Any
    parts: Mapping[int, Made]
    place: Place
    which: int = 0
    written: bool = False


def place_of(tensor: Tensor) -> Place:
    offset = int(tensor.storage_offset())
    return tuple(tensor.shape), tuple(tensor.stride()), offset, tensor.dtype


def seen_as(value: Tensor, place: Place, view: Tensor) -> Tensor:
    """The part of `value`, which stands for what lay at `place`, that `view` was of it.

    Raises ValueError for a view of another type.
    """
    if view.dtype != place[3]:
        raise ValueError("a view of another type")
    offset = value.storage_offset() + view.storage_offset() - place[2]
    return value.as_strided(view.shape, view.stride(), offset)


def replayed(made: Made, leaf: Leaf, known: dict[int, Tensor]) -> Tensor:
    """The value that `made` gives, laid out as it was; known: what was computed already."""
    if id(made) in known:
        return known[id(made)]
    first = made.args[0].untyped_storage()._cdata if made.written else None
    values: dict[int, Tensor] = {}
    for key, part in made.parts.items():
        value = replayed(part, leaf, known)
        values[key] = laid_out(value, part.place) if key == first else value

    def swapped(tensor: Tensor) -> Tensor:
        parameter = leaf(tensor)
        if parameter is not None:
            return parameter
        key = tensor.untyped_storage()._cdata if tensor.layout == torch.strided else None
        return seen_as(values[key], made.parts[key].place, tensor) if key in values else tensor

    args, kwargs = tree_map_only(Tensor, swapped, (made.args, made.kwargs))
    out = made.func(*args, **kwargs)
    if first is not None:
        known[id(made)] = values[first]
        return values[first]
    value = list(tensors_in(out))[made.which]
    if value.stride() != made.place[1]:
        value = laid_out(value, made.place)
    known[id(made)] = value
    return value


def laid_out(value: Tensor, place: Place) -> Tensor:
    """A copy that lies in memory as `place` says."""
    shape, strides, _, dtype = place
    out = torch.empty_strided(shape, strides, dtype=dtype, device=value.device)
    return out.copy_(value)
