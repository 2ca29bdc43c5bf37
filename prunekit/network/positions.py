"""Which rows of what a model computes count: those that an attention mask does not leave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

LOOK_UPS = (Tensor.__getitem__, torch.index_select, Tensor.index_select)
REPEATS = (torch.repeat_interleave, Tensor.repeat_interleave)


class CountedRows:
    """The positions that count in a batch, mask (batch, length) bool, wherever they go.

    What begins with the dimensions (batch, length), or with both as one, has a row for each
    position. Rows that are looked up by number, as those of an expert are, keep their positions,
    and so does what is computed of them row by row.
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask
        self._known: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    @classmethod
    def given(cls, inputs: Any) -> CountedRows | None:
        """Of a batch's inputs: None where they have no attention mask (batch, length)."""
        mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
        return cls(mask != 0) if isinstance(mask, Tensor) and mask.ndim == 2 else None

    def of(self, x: Tensor) -> Tensor:
        """x without the rows that do not count: numbers are 0 there, tokens are left out."""
        rows = self.rows_of(x)
        if rows is None:
            return x
        if not x.is_floating_point():
            return x[rows]
        return x.masked_fill(~rows.reshape(rows.shape + (1,) * (x.ndim - rows.ndim)), 0)

    def rows_of(self, x: Tensor) -> Tensor | None:
        """Which of its rows count (bool, its first dimensions); None where it has none."""
        if x.ndim and (x.data_ptr(), len(x)) in self._known:
            return self._known[x.data_ptr(), len(x)][1]
        if x.shape[:2] == self.mask.shape:
            return self.mask
        if x.ndim == 2 and len(x) == self.mask.numel():
            return self.mask.flatten()
        return None

    def follow(self, func: Any, args: Any, given: list[Tensor], result: Any) -> None:
        """Note which rows of `result` count, where that is no longer told by its shape."""
        if not isinstance(result, Tensor) or not result.ndim:
            return
        rows = None
        if func in LOOK_UPS:
            rows, index = self.rows_of(args[0]), row_index(args[-1])
            rows = (
                rows[index] if rows is not None and rows.ndim == 1 and index is not None else None
            )
        elif func in REPEATS and isinstance(args[1], int):
            rows = self.rows_of(args[0])
            rows = None if rows is None or rows.ndim > 1 else rows.repeat_interleave(args[1])
            rows = rows if rows is not None and len(rows) == len(result) else None
        else:
            keys = ((t.data_ptr(), len(result)) for t in given)
            rows = next((self._known[key][1] for key in keys if key in self._known), None)
        if rows is not None:
            self._known[result.data_ptr(), len(result)] = result, rows


def row_index(index: Any) -> Tensor | slice | None:
    """What of an index picks whole rows: x[i], x[None, i], x[a:b]; None where it picks others."""
    parts = [part for part in (index if isinstance(index, tuple) else (index,)) if part is not None]
    if len(parts) != 1 or not isinstance(parts[0], Tensor | slice):
        return None
    return parts[0] if isinstance(parts[0], slice) or parts[0].ndim == 1 else None
