"""Keep the largest scores: the exact count, or the thresholds of published code, ties included.

exact: exactly `budget.kept` weights, of equal scores the first.

kth: the threshold of "What's Hidden in a Randomly Weighted Neural Network?" (Ramanujan et al.,
CVPR 2020, https://arxiv.org/abs/1911.13299) as its README publishes it for faster subnets. With
p the fraction pruned and n the scores of a group, t is the k-th smallest, and s >= t is kept:

    k = 1 + round(0.01 * (p * 100) * (n - 1)),  Python's round of that float product

truncate: that paper's other threshold: sort ascending, prune the first int((1 - density) * n).

Scores are ranked as they are, with their signs. A group is what one threshold decides: all
weights with allocation global, an output row with row, otherwise a layer. Weights that may not
compete count in n and rank lowest. kth and truncate keep another number than the budget by
definition: the rounding is theirs, and kth keeps all that tie with t.
Differs from the paper: exact counts without rounding error and breaks ties by index; truncate
prunes the first of equal scores, where the published sort leaves it to the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Literal

import attrs
import torch
from torch import Tensor

import prunekit
from prunekit import Budget, Sampled, Scores

Masks = dict[str, Tensor]


@attrs.frozen
class TopK:
    """Keep the weights with the largest scores."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the files of 0.1.0, and without rows
        "86f780ccd7f1c9195b5c3c7b9bceb9bdd08795257f7aea585b3ea5609ee57918",
        "5beb64584b59a5a16fda13246f1a7bea890afd386f155718f51a67410bbc754c",
    )
    rule: Literal["exact", "kth", "truncate"] | None = prunekit.left_open(
        "exact", help="exact count, or a published threshold: k-th value (all ties kept), truncate"
    )

    @property
    def exact(self) -> bool:
        """Whether exactly the asked number is kept."""
        return self.rule in (None, "exact")

    def sample(self, scores: Scores, budget: Budget, rng: torch.Generator) -> Sampled:
        return Sampled(RULES[self.rule or "exact"](scores, budget))

    def follow(self, scores: Scores, budget: Budget) -> KthFollower | None:
        """For kth with a density for each layer, none of them empty; else None."""
        if self.rule != "kth" or not budget.uniform or budget.competing is not None:
            return None
        if not all(score.numel() for score in scores.values()):
            return None
        return KthFollower(ranks_of_thresholds(scores, budget))


@attrs.frozen(eq=False)
class KthFollower:
    """The k-th smallest score of each layer, found from where it was in the step before.

    On a GPU a threshold is a tensor there, so that no step waits for the device.
    """

    ranks: Mapping[str, int]
    memory: prunekit.KthMemory = attrs.field(factory=prunekit.KthMemory)

    def thresholds(self, scores: Scores) -> dict[str, float | Tensor]:
        return prunekit.kth_smallest_each(scores, self.ranks, self.memory)


def largest(scores: Scores, budget: Budget) -> Masks:
    return budget.best(scores)


def kth(scores: Scores, budget: Budget) -> Masks:
    if budget.allocation == "row":
        return by_rows(scores, budget, kth_of_rows)
    masks = {}
    ranked = pruned_last(scores, budget)
    for group, density in groups(scores, budget):
        flat = torch.cat([ranked[name].reshape(-1) for name in group])
        threshold = kth_threshold(flat, round(1 - density, 12)) if flat.numel() else 0.0
        masks.update({name: ranked[name] >= threshold for name in group})
    return among_competing(masks, budget)


def kth_threshold(scores: Tensor, pruned: float) -> float:
    """The k-th smallest of a group's scores."""
    return prunekit.kth_smallest(scores, rank_of_threshold(scores.numel(), pruned))


def ranks_of_thresholds(scores: Scores, budget: Budget) -> dict[str, int]:
    """k of each layer, where each is a group."""
    return {
        name: rank_of_threshold(scores[name].numel(), round(1 - density, 12))
        for (name,), density in groups(scores, budget)
    }


def rank_of_threshold(n: int, pruned: float) -> int:
    """k = 1 + round(0.01 * (p * 100) * (n - 1)), with p the fraction pruned of n scores."""
    return 1 + round(0.01 * (pruned * 100) * (n - 1))


def kth_of_rows(rows: Tensor, density: float) -> Tensor:
    """rows: (rows, entries), each a group."""
    k = rank_of_threshold(rows.shape[1], round(1 - density, 12))
    return rows >= rows.kthvalue(k, dim=1, keepdim=True).values


def truncate(scores: Scores, budget: Budget) -> Masks:
    if budget.allocation == "row":
        return by_rows(scores, budget, truncate_rows)
    masks = {}
    ranked = pruned_last(scores, budget)
    for group, density in groups(scores, budget):
        flat = torch.cat([ranked[name].reshape(-1) for name in group])
        pruned = int((1 - density) * flat.numel())
        kept = torch.ones_like(flat, dtype=torch.bool)
        kept[flat.argsort(stable=True)[:pruned]] = False
        pieces = kept.split([ranked[name].numel() for name in group])
        masks.update({name: m.reshape(ranked[name].shape) for name, m in zip(group, pieces)})
    return among_competing(masks, budget)


def truncate_rows(rows: Tensor, density: float) -> Tensor:
    """rows: (rows, entries), each a group."""
    pruned = int((1 - density) * rows.shape[1])
    kept = torch.ones_like(rows, dtype=torch.bool)
    return kept.scatter_(1, rows.argsort(dim=1, stable=True)[:, :pruned], False)


def by_rows(scores: Scores, budget: Budget, keep: Callable[[Tensor, float], Tensor]) -> Masks:
    """Masks of what `keep` keeps of each layer's rows at its density."""
    masks, ranked = {}, pruned_last(scores, budget)
    for (name,), density in groups(scores, budget):
        rows = budget.rows_of(name, scores[name])
        kept = torch.ones_like(scores[name], dtype=torch.bool)
        if kept.numel():
            kept = rows.join(keep(rows.split(ranked[name]), density), kept)
        masks[name] = kept
    return among_competing(masks, budget)


RULES: Mapping[str, Callable[[Scores, Budget], Masks]] = {
    "exact": largest,
    "kth": kth,
    "truncate": truncate,
}


def groups(scores: Scores, budget: Budget) -> Iterator[tuple[list[str], float]]:
    """The layers that share a threshold, each of its own with rows, and the density asked."""
    total = sum(score.numel() for score in scores.values())
    whole = budget.kept / max(total, 1) if budget.density is None else budget.density
    if budget.by_threshold:
        yield list(scores), whole
    elif (
        not budget.densities and not budget.min_per_layer and budget.allocation in ("layer", "row")
    ):
        yield from (([name], whole) for name in scores)
    else:
        for name, count in budget.counts(scores).items():
            yield [name], count / max(scores[name].numel(), 1)


def pruned_last(scores: Scores, budget: Budget) -> Scores:
    """The scores, with -inf where a weight may not compete."""
    if budget.competing is None:
        return scores
    return {name: s.masked_fill(~budget.competing[name], -torch.inf) for name, s in scores.items()}


def among_competing(masks: Masks, budget: Budget) -> Masks:
    if budget.competing is None:
        return masks
    return {name: mask & budget.competing[name] for name, mask in masks.items()}


@prunekit.hookimpl
def prunekit_samplers() -> dict[str, type[TopK]]:
    return {"topk": TopK}
