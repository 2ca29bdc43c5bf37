"""Exact draws by weight over named tensors, for 10^3 to 10^9 weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from prunekit.errors import NumericalError
from prunekit.selection.select import top_k, top_k_each

ABOVE_ZERO = 2000.0
"""|log(s) - log(E)| of float64 stays below 800: added, it makes every key of a race positive."""


def draw_without_replacement(
    scores: Mapping[str, Tensor],
    kept: int | Mapping[str, int],
    rng: torch.Generator,
    competing: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Masks of entries drawn one after another, each with probability s_i / (sum of s left).

    kept: how many over all tensors together, or in each by name. `rng` is a CPU generator;
    `competing`, device and errors are as in `top_k`. Scores <= 0 are never drawn: they fill up
    when the positive ones run out, largest first, then by index.

    Method: an entry wins the earlier, the smaller E_i / s_i with E_i ~ Exp(1) (Efraimidis &
    Spirakis, 2006), compared as log(s_i) - log(E_i) in float64, so that no range is too wide.
    """
    keys = {}
    for name, score in scores.items():
        keys[name] = _race(score, None if competing is None else competing[name], rng)
    rivals = None if competing is None else {name: competing[name] for name in scores}
    masks = top_k(keys, kept, rivals) if isinstance(kept, int) else top_k_each(keys, kept, rivals)
    return {name: mask.to(scores[name].device) for name, mask in masks.items()}


def _race(score: Tensor, competing: Tensor | None, rng: torch.Generator) -> Tensor:
    """Keys whose order is the order of the draw; only positive competing scores cost a number."""
    keys = score.detach().cpu().to(torch.float64, copy=True).contiguous()
    flat, rivals = keys.view(-1).numpy(), None if competing is None else competing.cpu()
    drawn = flat > 0
    if rivals is not None:
        drawn &= rivals.reshape(-1).numpy()
    weights = flat[drawn]
    with np.errstate(divide="ignore"):  # an arrival at 0 comes first of all: its key is +inf
        weights = np.log(weights, out=weights) - np.log(_exponentials(weights.size, rng))
    flat[drawn] = weights + ABOVE_ZERO
    return keys


def _exponentials(count: int, rng: torch.Generator) -> np.ndarray:
    """Independent Exp(1) numbers, float64, from a stream that `rng` seeds (6 times as fast)."""
    seed = int(torch.randint(2**63 - 1, (), generator=rng))
    return np.random.Generator(np.random.SFC64(seed)).standard_exponential(count)


def draw_with_replacement(
    weights: Mapping[str, Tensor], draws: int, rng: torch.Generator
) -> dict[str, Tensor]:
    """How often each entry comes up in `draws` independent draws with p_i = weight_i / sum.

    weights: finite and >= 0. Returns int64 tensors of their shapes on the CPU that sum to
    `draws`. Method: sorted uniforms meet the cumulative weights of one tensor at a time, O(N +
    draws log N). Raises NumericalError when no weight is positive.
    """
    flat = {name: weight.detach().cpu().double().reshape(-1) for name, weight in weights.items()}
    largest = max((float(w.max()) for w in flat.values() if w.numel()), default=0.0)
    if not draws:
        return {name: torch.zeros(w.shape, dtype=torch.int64) for name, w in weights.items()}
    if not largest > 0:
        raise NumericalError("no score is positive, so nothing can be drawn; see the scorer")
    ends = np.cumsum([float((weight / largest).sum()) for weight in flat.values()])
    points = _sorted_uniforms(draws, rng) * ends[-1]
    points = np.minimum(points, np.nextafter(ends[-1], 0))  # behind the end there is nothing
    groups = np.split(points, np.searchsorted(points, ends[:-1]))
    counts, start = {}, 0.0
    for (name, weight), end, group in zip(flat.items(), ends, groups):
        share = np.clip((group - start) / (end - start), 0, 1) if group.size else group
        counts[name] = torch.from_numpy(_hits(weight.numpy(), share)).reshape(weights[name].shape)
        start = end
    return counts


def _sorted_uniforms(count: int, rng: torch.Generator) -> np.ndarray:
    """`count` independent uniforms in [0, 1], sorted: arrival times over the time of the next."""
    arrivals = np.cumsum(_exponentials(count + 1, rng))
    return arrivals[:-1] / arrivals[-1]


def _hits(weight: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How many of the sorted points in [0, 1] fall to each entry of `weight`, by its share."""
    if not points.size:
        return np.zeros(weight.size, dtype=np.int64)
    cumulative = np.cumsum(weight / weight.max())
    last = np.flatnonzero(weight)[-1]  # rounding may put a point behind the last entry
    places = np.searchsorted(cumulative, points * cumulative[-1], side="right")
    return np.bincount(np.minimum(places, last), minlength=weight.size)
