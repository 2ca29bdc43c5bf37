"""Exact top-k where the scores are: a sort or a radix selection, and nothing waits for the device.

The rule is that of select.py: exactly so many, of equal scores the first.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prunekit.selection.nearby import KthMemory, kth_smallest_each


def largest(
    scores: Mapping[str, Tensor], kept: int, competing: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Masks of the `kept` largest scores over all tensors; see `select.top_k` for the rest.

    All lie on one device. Nothing is raised: `kept` is between 0 and the number that competes.
    """
    dtypes = {score.dtype for score in scores.values()}
    flat = _joined(scores, torch.float64 if torch.float64 in dtypes else torch.float32)
    rivals = None if competing is None else _joined(competing, torch.bool)
    chosen = _first_largest(flat, kept, rivals) if kept else torch.zeros_like(flat).bool()
    parts = chosen.split([score.numel() for score in scores.values()])
    return {name: part.view(scores[name].shape) for name, part in zip(scores, parts)}


def _first_largest(values: Tensor, count: int, competing: Tensor | None) -> Tensor:
    """Bool tensor of the `count` largest of a flat one, count > 0; first among equals."""
    if competing is not None:
        values = values.masked_fill(~competing, -torch.inf)
    least = kth_smallest_each({"": values}, {"": values.numel() - count + 1}, KthMemory())[""]
    chosen, ties = values > least, values == least
    if competing is not None:
        ties &= competing
    number = ties.cumsum(0, dtype=torch.int32 if values.numel() < 2**31 else torch.int64)
    return chosen | ties & (number <= count - chosen.sum())


def _joined(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
    """Row-major values of all."""
    return torch.cat([tensor.detach().to(dtype).reshape(-1) for tensor in tensors.values()])
