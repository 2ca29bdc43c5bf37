"""How many weights are kept (Budget), apart from which; see select.py for the selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import le
from typing import get_args

import attrs
import numpy as np
import torch
from torch import Tensor

from prunekit.errors import SpecError
from prunekit.network.model import Scores
from prunekit.network.rows import Rows
from prunekit.selection.allocation import WEIGHTS, apportion, share
from prunekit.selection.demands import Demands
from prunekit.selection.rows import chosen_in_rows, row_counts, rows_in, top_k_rows
from prunekit.selection.schedule import kept_of
from prunekit.selection.select import top_k, top_k_each
from prunekit.selection.weighted import draw_rows
from prunekit.spec.sections import Allocation
from prunekit.spec.settings import PruneSettings


@attrs.frozen(eq=False)
class Sampled:
    """What a sampler returns.

    masks: bool of the scores' shapes, True = kept. scale: a factor for each weight, of the same
    shapes (read where kept), that is multiplied into the weights once; None means 1. It is no part
    of the masks.
    """

    masks: dict[str, Tensor]
    scale: dict[str, Tensor] | None = None


@attrs.frozen(eq=False)
class Budget:
    """How many weights a sampler keeps, and among which.

    kept: the exact total. allocation: how it is shared among layers: as many as lie among the
    top of all scores (global), the same density in each (layer), Erdos-Renyi-Kernel densities
    (erk; Evci et al., ICML 2020, arXiv 1911.11134), or the same density in each output row (row;
    with row-norm's scores that of Sun et al., ICLR 2024, arXiv 2306.11695). densities:
    "pattern=density" rules that fix some layers; the others share the rest. min_per_layer: a floor
    for every layer that has so many. competing: bool of the scores' shapes, True where a weight may
    be kept; None = all. last: whether this is the last round. density: the exact density asked
    for, read by rules that are defined on it; None = kept / total. rows: the output rows of each
    layer, by name; None = dimension 0.
    """

    kept: int
    allocation: Allocation = "global"
    densities: Sequence[str] = ()
    min_per_layer: int = 0
    competing: Mapping[str, Tensor] | None = None
    last: bool = True
    density: float | None = None
    rows: Mapping[str, Rows] | None = None

    def __attrs_post_init__(self) -> None:
        if self.allocation not in get_args(Allocation):
            known = ", ".join(get_args(Allocation))
            raise SpecError(f"allocation must be one of {known}: {self.allocation!r}")

    @property
    def by_threshold(self) -> bool:
        """Whether one global threshold decides: no allocation by layer, no rule, no floor."""
        return self.allocation == "global" and not self.densities and not self.min_per_layer

    @property
    def uniform(self) -> bool:
        """Whether every layer gets the same density: by layer, no rule, no floor."""
        return self.allocation == "layer" and not self.densities and not self.min_per_layer

    def best(self, scores: Scores) -> dict[str, Tensor]:
        """Masks (bool, of the scores' shapes) of the largest within this budget, ties by index."""
        if self.allocation == "row":
            return chosen_in_rows(self, scores, top_k_rows)
        if self.allocation == "global" and not self.densities:
            masks = top_k(scores, self.kept, self.competing)
            if not self.min_per_layer or self._has_floors(scores, masks):
                return masks
        return top_k_each(scores, self.counts(scores), self.competing)

    def draw_in_rows(self, weights: Scores, rng: torch.Generator) -> dict[str, Tensor]:
        """Masks drawn by weight without replacement, in each row as many as this budget says."""
        return chosen_in_rows(self, weights, partial(draw_rows, rng=rng))

    def row_counts(self, scores: Scores) -> dict[str, np.ndarray]:
        """With allocation row, how many are kept in each row: int64 (rows,), by layer."""
        return row_counts(self, scores)

    def rows_of(self, name: str, score: Tensor) -> Rows:
        """How the entries of a layer lie in output rows: split them, and join them again."""
        return rows_in(self, name, score)

    def counts(self, scores: Scores) -> dict[str, int]:
        """How many are kept in each layer; they sum to `kept`, none exceeds what competes in it.

        Raises SpecError where rules, floors and total contradict each other.
        """
        room = self._room(scores)
        fixed, rest, floors = self.settled(scores, room)
        free = {name: scores[name] for name in floors}
        shared = self._shared(free, rest, floors, room) if free else {}
        return {name: {**fixed, **shared}[name] for name in scores}

    def settled(
        self, scores: Scores, room: Mapping[str, int]
    ) -> tuple[dict[str, int], int, dict[str, int]]:
        """What rules fix by layer, what is left for the others, and the floors of those.

        room: how many compete in each layer. Raises what `counts` raises.
        """
        return self._demands(scores, room).settled()

    def _demands(self, scores: Scores, room: Mapping[str, int]) -> Demands:
        sizes = {name: score.numel() for name, score in scores.items()}
        return Demands(self.kept, self.densities, self.min_per_layer, self.last, sizes, room)

    def _has_floors(self, scores: Scores, masks: Mapping[str, Tensor]) -> bool:
        """Whether every layer keeps `min_per_layer`, or all that competes in it."""
        kept, floor = _count(masks), self._demands(scores, self._room(scores)).floor
        return all(kept[name] >= floor(name) for name in scores)

    def _room(self, scores: Scores) -> dict[str, int]:
        """How many weights compete in each layer."""
        if self.competing is None:
            return {name: score.numel() for name, score in scores.items()}
        return _count({name: self.competing[name] for name in scores})

    def _shared(
        self, free: Scores, rest: int, floors: Mapping[str, int], room: Mapping[str, int]
    ) -> dict[str, int]:
        if self.allocation == "global":
            return self._threshold_counts(free, rest, floors)
        caps = [room[name] for name in free]
        if self.allocation == "row" and self.density is not None:
            quotas = [self.density * score.numel() for score in free.values()]
            fit = all(map(le, floors.values(), quotas)) and all(map(le, quotas, caps))
            if fit and abs(sum(quotas) - rest) < 1:
                return dict(zip(free, apportion(quotas, rest)))
        weights = [WEIGHTS[self.allocation](score.shape) for score in free.values()]
        return dict(zip(free, share(rest, weights, list(floors.values()), caps)))

    def _threshold_counts(
        self, free: Scores, rest: int, floors: Mapping[str, int]
    ) -> dict[str, int]:
        """Layer counts of the best `rest` scores among the masks that respect the floors."""
        counts = _count(top_k(free, rest, self.competing))
        if all(counts[name] >= floors[name] for name in free):
            return counts
        sure = top_k_each(free, floors, self.competing)
        others = {name: ~mask for name, mask in sure.items()}
        if self.competing is not None:
            others = {name: other & self.competing[name] for name, other in others.items()}
        more = _count(top_k(free, rest - sum(floors.values()), others))
        return {name: floors[name] + more[name] for name in free}


@attrs.frozen
class Rule:
    """How a budget is shared among layers, whatever its size; the fields are those of `Budget`."""

    allocation: Allocation
    densities: tuple[str, ...]
    min_per_layer: int

    @classmethod
    def of(cls, settings: PruneSettings) -> Rule:
        """The rule of a section of which nothing is left open."""
        return cls(settings.allocation, settings.densities, settings.min_per_layer)

    def budget(
        self,
        density: float,
        total: int,
        competing: Mapping[str, Tensor] | None = None,
        last: bool = True,
        rows: Mapping[str, Rows] | None = None,
    ) -> Budget:
        """The budget that keeps this share of `total` maskable weights, see `kept_of`."""
        kept, floor = kept_of(density, total), self.min_per_layer
        return Budget(kept, self.allocation, self.densities, floor, competing, last, density, rows)

    def check(self, density: float, weights: Mapping[str, Tensor]) -> None:
        """SpecError where rules, floors and density contradict each other in these layers."""
        room = {name: weight.numel() for name, weight in weights.items()}
        self.budget(density, sum(room.values())).settled(dict(weights), room)


def _count(masks: Mapping[str, Tensor]) -> dict[str, int]:
    return {name: int(torch.count_nonzero(mask)) for name, mask in masks.items()}
