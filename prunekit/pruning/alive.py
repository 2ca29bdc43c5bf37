"""Norms that a weight is divided by stay above 0: of each keeps one weight at least.

Weight normalisation computes g v / ||v||, row by row: a row of v that is pruned whole would be
0 / 0. Such a row keeps the weight that scores best in it, for the lowest of the others that the
layer keeps; so every count is what it was.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prunekit.network.model import Network, Scores


def norms_alive(
    network: Network,
    scores: Scores,
    masks: Mapping[str, Tensor],
    competing: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The masks, where needed with other weights of a layer kept: as many, one of each norm.

    A layer that keeps too few for that is left as it is, which `Network.mask` refuses.
    """
    found = dict(masks)
    for name, dim in network.normed.items():
        among = None if competing is None else competing[name]
        found[name] = _alive(scores[name], masks[name], dim, among)
    return found


def _alive(scores: Tensor, mask: Tensor, dim: int | None, among: Tensor | None) -> Tensor:
    """One mask; a norm is of each slice at `dim`, or of everything."""
    rows = _rows(mask, dim)
    empty = ~rows.any(1)
    if not bool(empty.any()):
        return mask
    values = _rows(scores, dim).double()
    free = values if among is None else values.masked_fill(~_rows(among, dim), -torch.inf)
    best = torch.where(rows, values, -torch.inf)
    best[empty] = free[empty]
    first = best.argmax(1, keepdim=True)
    wanted = torch.zeros_like(rows).scatter_(1, first, best.amax(1, keepdim=True) > -torch.inf)
    others = values.masked_fill(~(rows & ~wanted), torch.inf).reshape(-1)
    count = int(torch.count_nonzero(wanted & ~rows))
    order = others.argsort(stable=True)[:count]
    if bool(others[order].isinf().any()):
        return mask
    flat = (rows | wanted).reshape(-1).clone()
    flat[order] = False
    return _unrows(flat, mask, dim)


def _rows(tensor: Tensor, dim: int | None) -> Tensor:
    """The slices at `dim` as rows of a matrix; one row where it is None."""
    return tensor.reshape(1, -1) if dim is None else tensor.movedim(dim, 0).flatten(1)


def _unrows(flat: Tensor, like: Tensor, dim: int | None) -> Tensor:
    """The inverse of `_rows`, flat, of the shape of `like`."""
    if dim is None:
        return flat.reshape(like.shape)
    moved = like.movedim(dim, 0)
    return flat.reshape(moved.shape).movedim(0, dim).contiguous()
