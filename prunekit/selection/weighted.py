"""Exact draws by weight over named tensors, for 10^3 to 10^9 weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from prunekit.errors import NumericalError, SpecError
from prunekit.selection.rows import top_k_rows
from prunekit.selection.select import count_above, top_k_and_cut

ABOVE_ZERO = 2000.0
"""|log(s) - log(E)| of float64 stays below 800: added, it makes every key of a race positive."""
DOUBT = 1e-10
"""Quotients that differ by more, relatively, have logarithms in the same order: these are right to
3e-12 together."""
BLOCK = 1 << 14
"""Entries of a race whose numbers are drawn at once."""


def draw_without_replacement(
    scores: Mapping[str, Tensor],
    kept: int | Mapping[str, int],
    rng: torch.Generator,
    competing: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Masks of entries drawn one after another, each with probability s_i / (sum of s left).

    scores: floats of any shape. kept: how many over all tensors together, or in each by name.
    `rng` is a CPU generator; `competing`, shapes, device and errors are as in `top_k`. Scores <= 0
    are never drawn: they fill up when the positive ones run out, largest first, then by index.

    Method: an entry wins the earlier, the smaller E_i / s_i with E_i ~ Exp(1) (Efraimidis &
    Spirakis, 2006), compared as log(s_i) - log(E_i) in float64, so that no range is too wide. The
    quotients s_i / E_i decide first; the logarithms are taken where these leave a doubt.
    """
    if isinstance(kept, int):
        return _winners(
            scores, kept, rng, competing, _room(sum(map(Tensor.numel, scores.values())))
        )
    room = _room(max(map(Tensor.numel, scores.values()), default=0))
    masks: dict[str, Tensor] = {}
    for name, score in scores.items():
        try:
            masks |= _winners({name: score}, kept[name], rng, competing, room[: score.numel()])
        except SpecError as error:
            raise SpecError(f"{name}: {error}") from None
    return masks


def draw_rows(
    scores: Tensor, counts: np.ndarray, competing: Tensor | None, rng: torch.Generator
) -> Tensor:
    """Mask of `counts[i]` entries of each row i, drawn as by `draw_without_replacement`.

    scores: (rows, entries); competing: bool of that shape, None = everywhere.
    """
    keys = torch.empty(scores.shape, dtype=torch.float64)
    _race(scores, competing, _seed(rng), _logarithms, keys)
    rivals = None if competing is None else competing.cpu()
    return top_k_rows(keys, counts, rivals).to(scores.device)


def _winners(
    scores: Mapping[str, Tensor],
    kept: int,
    rng: torch.Generator,
    competing: Mapping[str, Tensor] | None,
    room: Tensor,
) -> dict[str, Tensor]:
    """Masks, on their scores' devices, of the `kept` that win one race; `room` takes the keys."""
    seeds = {name: _seed(rng) for name in scores}
    places = room.split([score.numel() for score in scores.values()])
    keys = {name: place.view(score.shape) for (name, score), place in zip(scores.items(), places)}
    for rule in (_quotients, _logarithms):
        for name, score in scores.items():
            rivals = None if competing is None else competing[name]
            _race(score, rivals, seeds[name], rule, keys[name])
        masks, cut = top_k_and_cut(keys, kept, competing)
        if 1e-300 < cut < 1e300 and count_above(keys, cut * (1 - DOUBT), competing) == kept:
            break  # the best that loses is behind by far more than a logarithm rounds
    return {name: mask.to(scores[name].device) for name, mask in masks.items()}


def _room(size: int) -> Tensor:
    return torch.empty(size, dtype=torch.float64)


Rule = Callable[[np.ndarray, np.ndarray], None]


def _quotients(weights: np.ndarray, arrivals: np.ndarray) -> None:
    np.divide(weights, arrivals, out=weights)


def _logarithms(weights: np.ndarray, arrivals: np.ndarray) -> None:
    np.log(weights, out=weights)
    weights -= np.log(arrivals, out=arrivals)
    weights += ABOVE_ZERO


def _race(score: Tensor, competing: Tensor | None, seed: int, rule: Rule, keys: Tensor) -> None:
    """Write keys whose order is that of the draw; only positive competing scores cost a number.

    In blocks that fit the cache: fresh memory costs more than the numbers.
    """
    values, flat = _flat(score), keys.view(-1).numpy()
    rivals = None if competing is None else _flat(competing)
    stream, room = _stream(seed), np.empty(BLOCK)
    for start in range(0, flat.size, BLOCK):
        piece = slice(start, start + BLOCK)
        block = flat[piece]
        block[:] = values[piece]
        drawn = block > 0
        if rivals is not None:
            drawn &= rivals[piece]
        weights = block if drawn.all() else block[drawn]
        with np.errstate(divide="ignore", over="ignore"):  # an arrival at 0 comes first: +inf
            rule(weights, stream.standard_exponential(out=room[: weights.size]))
        if weights is not block:
            block[drawn] = weights


def _flat(tensor: Tensor) -> np.ndarray:
    """Row-major values on the CPU; what NumPy does not know, as float64."""
    near = tensor.detach().cpu()
    near = near.double() if near.dtype in (torch.bfloat16, torch.float16) else near
    return near.contiguous().view(-1).numpy()


def _seed(rng: torch.Generator) -> int:
    return int(torch.randint(2**63 - 1, (), generator=rng))


def _stream(seed: int) -> np.random.Generator:
    """NumPy's fast stream: of Exp(1) numbers in float64 it takes a sixth of torch's time."""
    return np.random.Generator(np.random.SFC64(seed))


def draw_with_replacement(
    weights: Mapping[str, Tensor], draws: int, rng: torch.Generator
) -> dict[str, Tensor]:
    """How often each entry comes up in `draws` independent draws with p_i = weight_i / sum.

    weights: finite and >= 0, of any shape. Returns int64 tensors of their shapes on the CPU that
    sum to `draws`. Method: sorted uniforms meet the cumulative weights of one tensor at a time,
    O(N + draws log N). Raises NumericalError when no weight is positive.
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
    arrivals = np.cumsum(_stream(_seed(rng)).standard_exponential(count + 1))
    return arrivals[:-1] / arrivals[-1]


def _hits(weight: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How many of the sorted points in [0, 1] fall to each entry of `weight`, by its share."""
    if not points.size:
        return np.zeros(weight.size, dtype=np.int64)
    cumulative = np.cumsum(weight / weight.max())
    last = np.flatnonzero(weight)[-1]  # rounding may put a point behind the last entry
    places = np.searchsorted(cumulative, points * cumulative[-1], side="right")
    return np.bincount(np.minimum(places, last), minlength=weight.size)
