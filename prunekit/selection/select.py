"""Exact selection over named tensors: the k largest of 10^3 to 10^9 scores, without copying them.

A random sample gives two values that enclose the k-th largest score. One pass in blocks that fit
the cache writes `score > low` and collects what lies between the two, under 1 % of the scores;
only those are partitioned. Mass ties cost one pass more, whatever their number. Draws by weight
are in weighted.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import attrs
import numpy as np
import torch
from torch import Tensor

from prunekit.errors import SpecError
from prunekit.selection import select_device

BLOCK = 1 << 16
"""Scores in a block: 512 KiB of float64."""
FEW = 1 << 15
"""Up to so many competing scores, all of them are partitioned."""
SAMPLE = 1 << 16
"""Of n scores at most so many are sampled, and n^(2/3): about as many lie in the bracket."""
SIGMAS = (4.0, 16.0, math.inf)
"""Half-widths of the brackets tried, in standard deviations of the sampled rank."""


def top_k(
    scores: Mapping[str, Tensor], kept: int, competing: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Masks of the `kept` largest scores over all tensors, exactly that many.

    scores: floats of any shape, infinities and empty tensors included, no NaN. competing: bool
    tensors of the same shapes, True where a score may be kept; None = everywhere. Of equal scores
    the first is kept, in order of the tensors, then row-major. Masks: bool, of their
    scores' shapes and device. On a GPU they are chosen there, and nothing waits for it unless
    `competing` is to be counted.
    Raises SpecError when `kept` is negative or exceeds the number that competes.
    """
    if scores and all(score.is_cuda for score in scores.values()):
        return _on_device(scores, kept, competing)
    return top_k_and_cut(scores, kept, competing)[0]


def top_k_and_cut(
    scores: Mapping[str, Tensor], kept: int, competing: Mapping[str, Tensor] | None = None
) -> tuple[dict[str, Tensor], float]:
    """As `top_k`, on the CPU, and a value: of those that compete all above are kept, none below."""
    masks = np.empty(sum(score.numel() for score in scores.values()), dtype=bool)
    parts = list(_parts(scores, competing, masks))
    available = sum(part.available for part in parts)
    _check(kept, available)
    few = available <= FEW
    cut = _keep_of_few(parts, kept) if few else _keep_of_many(parts, kept, available)
    return {
        name: torch.from_numpy(part.mask).reshape(score.shape).to(score.device)
        for (name, score), part in zip(scores.items(), parts)
    }, cut


def count_above(
    scores: Mapping[str, Tensor], value: float, competing: Mapping[str, Tensor] | None = None
) -> int:
    """How many scores > value compete."""
    masks = np.empty(sum(score.numel() for score in scores.values()), dtype=bool)
    for part in _parts(scores, competing, masks):
        for block in part.blocks():
            _above(block, value)
    return _true(masks)


def _on_device(
    scores: Mapping[str, Tensor], kept: int, competing: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """As `top_k`, on the device of the first score."""
    device = next(iter(scores.values())).device
    near = {name: score.to(device) for name, score in scores.items()}
    available, rivals = sum(score.numel() for score in near.values()), None
    if competing is not None:
        rivals = {name: competing[name].to(device) for name in scores}
        available = int(sum(rival.count_nonzero() for rival in rivals.values()))
    _check(kept, available)
    masks = select_device.largest(near, kept, rivals)
    return {name: mask.to(scores[name].device) for name, mask in masks.items()}


def _check(kept: int, available: int) -> None:
    if not 0 <= kept <= available:
        raise SpecError(
            f"cannot keep {kept:,} of {available:,} weights that compete; lower the density"
        )


def top_k_each(
    scores: Mapping[str, Tensor],
    counts: Mapping[str, int],
    competing: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Masks of the `counts[name]` largest scores in each tensor; shapes and errors as `top_k`'s."""
    masks = {}
    for name, score in scores.items():
        rivals = None if competing is None else {name: competing[name]}
        try:
            masks.update(top_k({name: score}, counts[name], rivals))
        except SpecError as error:
            raise SpecError(f"{name}: {error}") from None
    return masks


def kth_smallest(values: Tensor, k: int) -> float:
    """The k-th smallest of `values` (any shape), k counted from 1; infinities are in order."""
    return float(np.partition(_flat(values), k - 1)[k - 1])


@attrs.frozen(eq=False)
class _Part:
    """One tensor, flat: its scores, where they compete (None = everywhere), the mask to write."""

    scores: np.ndarray
    competing: np.ndarray | None
    mask: np.ndarray

    @property
    def available(self) -> int:
        return self.scores.size if self.competing is None else _true(self.competing)

    def blocks(self) -> Iterator[_Part]:
        for start in range(0, self.scores.size, BLOCK):
            piece = slice(start, start + BLOCK)
            competing = None if self.competing is None else self.competing[piece]
            yield _Part(self.scores[piece], competing, self.mask[piece])

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Scores at `count` random places, less those that do not compete."""
        places = rng.integers(0, self.scores.size, count)
        found = self.scores[places]
        return found if self.competing is None else found[self.competing[places]]


def _parts(
    scores: Mapping[str, Tensor], competing: Mapping[str, Tensor] | None, masks: np.ndarray
) -> Iterator[_Part]:
    """One part for each tensor, all of one dtype; their masks are views of `masks`."""
    flat = {name: _flat(score) for name, score in scores.items()}
    dtypes = {values.dtype for values in flat.values()}
    start = 0
    for name, values in flat.items():
        values = values if len(dtypes) == 1 else values.astype(np.float64)
        rivals = None if competing is None else _flat(competing[name])
        yield _Part(values, rivals, masks[start : start + values.size])
        start += values.size


def _flat(tensor: Tensor) -> np.ndarray:
    """Row-major values on the CPU: bool, float32 or float64."""
    tensor = tensor.detach().cpu()
    if tensor.dtype not in (torch.bool, torch.float32, torch.float64):
        tensor = tensor.float()
    return tensor.contiguous().reshape(-1).numpy()


def _keep_of_few(parts: list[_Part], kept: int) -> float:
    """Write the masks of the `kept` largest, return the cut: all that compete are partitioned."""
    rivals = [
        part.scores if part.competing is None else part.scores[part.competing] for part in parts
    ]
    values = np.concatenate(rivals) if rivals else np.empty(0)
    chosen, cut = _first_largest(values, kept)
    start = 0
    for part, rival in zip(parts, rivals):
        won = chosen[start : start + rival.size]
        if part.competing is None:
            part.mask[:] = won
        else:
            part.mask[:] = False
            part.mask[part.competing] = won
        start += rival.size
    return cut


def _keep_of_many(parts: list[_Part], kept: int, available: int) -> float:
    """Write the masks of the `kept` largest, return the cut; a bracket that misses is widened."""
    cut = None
    for sigmas in SIGMAS:
        low, high = _bracket(parts, kept, available, sigmas)
        cut = _keep(parts, kept, low, high)
        if cut is not None:
            break
    return math.nan if cut is None else cut


def _bracket(parts: list[_Part], kept: int, available: int, sigmas: float) -> tuple[float, float]:
    """Two values that very likely enclose the kept-th largest competing score."""
    if math.isinf(sigmas):
        return -math.inf, math.inf
    total = sum(part.scores.size for part in parts)
    rng = np.random.default_rng(0)  # it decides the time taken, never the result
    rate = min(SAMPLE, total ** (2 / 3)) / total
    drawn = [
        part.sample(math.ceil(rate * part.scores.size), rng) for part in parts if part.scores.size
    ]
    sample = np.sort(np.concatenate(drawn))
    share = 1 - kept / available
    middle = share * sample.size
    half = sigmas * math.sqrt(middle * (1 - share)) + sigmas
    low, high = math.floor(middle - half), math.ceil(middle + half)
    return (
        float(sample[low]) if low >= 0 else -math.inf,
        float(sample[high]) if high < sample.size else math.inf,
    )


def _keep(parts: list[_Part], kept: int, low: float, high: float) -> float | None:
    """Write the masks of the `kept` largest, return the cut; None where [low, high] misses it."""
    above, candidates = _split(parts, low, high)
    between = sum(places.size for _, places, _ in candidates)
    if kept <= above:
        return _keep_from(parts, kept, high)
    if kept > above + between:
        return _keep_from(parts, kept, low)
    chosen, cut = _first_largest(np.concatenate([found for *_, found in candidates]), kept - above)
    start = 0
    for mask, places, _ in candidates:
        lost = ~chosen[start : start + places.size]
        mask[places[lost]] = False
        start += places.size
    return cut


# A block's mask, the places in it of scores between low and high, and these scores.
_Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]


def _split(parts: list[_Part], low: float, high: float) -> tuple[int, list[_Candidates]]:
    """Write masks `score > low`; return how many scores are >= high, and those in between."""
    above, candidates = 0, []
    buffer = np.empty(BLOCK, dtype=bool)
    for part in parts:
        for block in part.blocks():
            inside = np.less(block.scores, high, out=buffer[: block.scores.size])
            _above(block, low)
            inside &= block.mask
            count = _true(inside)
            above += _true(block.mask) - count
            if count:
                places = np.flatnonzero(inside)
                candidates.append((block.mask, places, block.scores[places]))
    return above, candidates


def _true(array: np.ndarray) -> int:
    return int(np.count_nonzero(array))


def _above(block: _Part, value: float) -> None:
    np.greater(block.scores, value, out=block.mask)
    if block.competing is not None:
        np.logical_and(block.mask, block.competing, out=block.mask)


def _keep_from(parts: list[_Part], kept: int, value: float) -> float | None:
    """Write masks of all scores > value and the first that equal it; None when it is no cut."""
    for part in parts:
        _above(part, value)
    missing = kept - sum(_true(part.mask) for part in parts)
    for block in (block for part in parts for block in part.blocks()):
        if missing <= 0:
            break
        ties = block.scores == value
        if block.competing is not None:
            ties &= block.competing
        places = np.flatnonzero(ties)[:missing]
        block.mask[places] = True
        missing -= places.size
    return value if missing == 0 else None


def _first_largest(values: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Bool array of the `count` largest of a flat array, first among equals; the least of them."""
    if not count:
        return np.zeros(values.size, dtype=bool), math.inf
    rank = values.size - count
    threshold = np.partition(values, rank)[rank]
    chosen = values > threshold
    ties = np.flatnonzero(values == threshold)
    chosen[ties[: count - _true(chosen)]] = True
    return chosen, float(threshold)
