"""Fewer training examples, for a first try: which ones, in fair shares of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from prunekit.draws.chance import generator
from prunekit.errors import SpecError

if TYPE_CHECKING:
    from prunekit.data.splits import Split


def limited(split: Split, limit: int, seed: int) -> Split:
    """The split with `limit` of its examples, drawn from `seed`; 0 = all.

    Each class keeps its share, to within one example, and more examples contain the fewer; where
    labels are no class numbers, all have the same chance. SpecError where none would be left out.
    """
    have, labels = len(split), split.labels
    if limit == 0:
        return split
    if limit >= have:
        raise SpecError(
            f"data.limit = {limit} cannot act: there are {have} training examples; lower it, or "
            "leave it out"
        )
    order = torch.randperm(have, generator=generator(seed, "limit"))
    if labels.ndim == 1 and not labels.is_floating_point():
        order = order[place_in_class(labels[order]).argsort(stable=True)]
    return split.take(order[:limit].sort().values)


def place_in_class(labels: Tensor) -> Tensor:
    """(k + 1/2)/n of the k-th of the n examples with its label; float64, of the shape (N,)."""
    _, which, counts = labels.unique(return_inverse=True, return_counts=True)
    by_class, size = which.argsort(stable=True), counts.repeat_interleave(counts)
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    place = torch.empty(len(labels), dtype=torch.float64)
    rank = torch.arange(len(labels), dtype=torch.float64) - starts
    place[by_class] = (rank + 0.5) / size
    return place
