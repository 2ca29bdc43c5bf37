"""A model computed in another precision than its code asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CASTS: Mapping[Any, torch.dtype] = {
    Tensor.double: torch.float64,
    Tensor.float: torch.float32,
    Tensor.half: torch.float16,
    Tensor.bfloat16: torch.bfloat16,
}

NAMED = {"Double": torch.float64, "Float": torch.float32, "Half": torch.float16}
"""As in "torch.FloatTensor" and "torch.cuda.FloatTensor"."""

WRITES = (Tensor.__setitem__, torch.fill_, torch.relu_)
"""Operations in place whose name does not end in one underscore, or that are no methods."""


class InPrecision(TorchFunctionMode):
    """While active, real numbers of the types `instead_of` are of `dtype`, whatever a model asks.

    A cast to such a type is one to `dtype`, and so is what an operation is given or makes; what is
    written in place keeps its own type.
    """

    def __init__(
        self, dtype: torch.dtype, instead_of: Collection[torch.dtype] = tuple(CASTS.values())
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.others = frozenset(instead_of) - {dtype}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in CASTS:
            return args[0].to(self.alike(CASTS[func]))
        if func is Tensor.type and len(args) > 1 and isinstance(args[1], str):
            named = NAMED.get(args[1].rpartition(".")[2].removesuffix("Tensor"))
            return func(*args) if named is None else args[0].to(self.alike(named))
        start = 1 if in_place(func) else 0
        args = (*args[:start], *self.alike(tuple(args[start:])))
        return self.alike(func(*args, **self.alike(dict(kwargs))))

    def alike(self, value: Any) -> Any:
        """`value` with its real tensors and types as `dtype`, where they are of the others."""
        if isinstance(value, Tensor):
            return value.to(self.dtype) if value.dtype in self.others else value
        if isinstance(value, torch.dtype):
            return self.dtype if value in self.others else value
        if type(value) is dict:
            return {name: self.alike(part) for name, part in value.items()}
        if type(value) in (tuple, list):
            return type(value)(map(self.alike, value))
        return value


def in_place(func: Any) -> bool:
    name: str = getattr(func, "__name__", "")
    return func in WRITES or (name.endswith("_") and not name.endswith("__")) or name == "__set__"
