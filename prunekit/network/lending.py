"""Memory for one tensor a name that is lent again when nobody holds it any more."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class LentMemory:
    """Tensors on the CPU, lent again and again, never twice at once.

    Fresh memory for 20 million scores costs half of what computing them does: its pages must be
    mapped. A tensor's storage holds the array it was made from, so the array tells who is left.
    """

    def __init__(self, like: Mapping[str, Tensor]) -> None:
        self._arrays = {
            name: torch.empty(t.shape, dtype=t.dtype).numpy() for name, t in like.items()
        }
        self._borrowed: list[weakref.ref[Any]] = []

    def is_held(self) -> bool:
        """Whether a tensor lent last, or a view of one, is still alive."""
        return any(borrowed() is not None for borrowed in self._borrowed)

    def lend(self) -> dict[str, Tensor]:
        """Uninitialised tensors by name; ask `is_held` first."""
        views = {name: array.view() for name, array in self._arrays.items()}
        self._borrowed = [weakref.ref(view) for view in views.values()]
        return {name: torch.from_numpy(view) for name, view in views.items()}
