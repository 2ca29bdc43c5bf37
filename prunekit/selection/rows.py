"""The same share in each output row: how many of each row, and which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from prunekit.network.rows import Rows
from prunekit.selection.allocation import share

if TYPE_CHECKING:
    from prunekit.selection.budget import Budget

BLOCK = 1 << 16
"""Scores whose rows are partitioned at once."""

Choice = Callable[[Tensor, np.ndarray, "Tensor | None"], Tensor]
"""(scores (rows, entries), how many of each row (rows,), where they compete) -> mask of the shape
of these scores."""


def rows_in(budget: Budget, name: str, score: Tensor) -> Rows:
    """The output rows of a layer: those of the network, or dimension 0."""
    if budget.rows is not None:
        return budget.rows[name]
    return Rows(tuple(score.shape), (0,) if score.ndim > 1 else ())


def chosen_in_rows(
    budget: Budget, scores: Mapping[str, Tensor], choose: Choice
) -> dict[str, Tensor]:
    """Masks of the scores' shapes: what `choose` keeps of each layer's rows."""
    masks, counts = {}, row_counts(budget, scores)
    for name, score in scores.items():
        rows = rows_in(budget, name, score)
        rivals = None if budget.competing is None else rows.split(budget.competing[name])
        masks[name] = rows.join(choose(rows.split(score), counts[name], rivals), score)
    return masks


def row_counts(budget: Budget, scores: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """How many of each row are kept, by layer: int64 (rows,)."""
    counts = {}
    for name, kept in budget.counts(dict(scores)).items():
        rows = rows_in(budget, name, scores[name])
        rivals = None if budget.competing is None else rows.split(budget.competing[name])
        counts[name] = counts_of_rows(kept, rows, rivals)
    return counts


def counts_of_rows(kept: int, rows: Rows, competing: Tensor | None = None) -> np.ndarray:
    """How many of each row are kept, int64: largest remainder, ties to the lower row.

    A row that has fewer competing gives what it cannot keep to the others.
    """
    if not rows.count:
        return np.zeros(0, dtype=np.int64)
    least, more = divmod(kept, rows.count)
    counts = np.full(rows.count, least, dtype=np.int64)
    counts[:more] += 1
    if competing is None:
        return counts
    room = np.count_nonzero(competing.cpu().numpy(), axis=1)
    if (counts <= room).all():
        return counts
    zeros = [0] * rows.count
    return np.asarray(share(kept, [rows.width] * rows.count, zeros, room.tolist()), dtype=np.int64)


def top_k_rows(scores: Tensor, counts: np.ndarray, competing: Tensor | None = None) -> Tensor:
    """Mask of the `counts[i]` largest scores of row i: of equal ones the first.

    scores: (rows, entries), floats without NaN. competing: bool of that shape; None = everywhere.
    No row keeps more than compete in it.
    """
    if not scores.is_cpu:
        return _on_device(scores, torch.from_numpy(counts).to(scores.device), competing)
    known = scores.dtype in (torch.float32, torch.float64)
    values = scores.detach().numpy() if known else scores.detach().float().numpy()
    rivals = None if competing is None else competing.numpy()
    mask: np.ndarray = np.empty(values.shape, dtype=bool)
    for count, rows in _alike(counts, values.shape[1]):
        some = None if rivals is None else rivals[rows]
        mask[rows] = _largest(values[rows], count, some)
    return torch.from_numpy(mask)


def _alike(counts: np.ndarray, width: int) -> Iterator[tuple[int, slice | np.ndarray]]:
    """Rows that keep equal counts, about BLOCK entries at a time, and that count."""
    size = max(BLOCK // max(width, 1), 1)
    for count in np.unique(counts):
        places = np.flatnonzero(counts == count)
        for start in range(0, len(places), size):
            some = places[start : start + size]
            first, last = int(some[0]), int(some[-1]) + 1
            yield int(count), slice(first, last) if last - first == len(some) else some


def _largest(values: np.ndarray, count: int, competing: np.ndarray | None) -> np.ndarray:
    """Mask of the `count` largest of each row, first among equals."""
    if count == 0:
        return np.zeros(values.shape, dtype=bool)
    if competing is None:
        among = values.copy()
    else:  # np.where takes longer
        bounds = np.array([-np.inf, np.inf], dtype=values.dtype)
        among = np.minimum(values, np.take(bounds, competing.view(np.uint8)))
    rank = values.shape[1] - count
    among.partition(rank, axis=1)
    least = among[:, rank : rank + 1]
    chosen = values >= least
    if competing is not None:
        chosen &= competing
    surplus = np.count_nonzero(chosen, axis=1) - count
    many = np.flatnonzero(surplus)  # rows with more scores that equal the least than have room
    if many.size:
        ties = chosen[many] & (values[many] == least[many])
        room = np.count_nonzero(ties, axis=1) - surplus[many]
        chosen[many] &= ~ties | (np.cumsum(ties, axis=1, dtype=np.int32) <= room[:, None])
    return chosen


def _on_device(scores: Tensor, counts: Tensor, competing: Tensor | None) -> Tensor:
    """The same by stable sorts on the scores' device; nothing waits for it."""
    order = scores.detach().sort(dim=1, descending=True, stable=True).indices
    if competing is not None:  # those that compete first, each part as it was
        late = ~competing.gather(1, order)
        order = order.gather(1, late.to(torch.uint8).sort(dim=1, stable=True).indices)
    places = torch.arange(scores.shape[1], device=scores.device)
    mask = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    return mask.scatter_(1, order, places < counts[:, None])
