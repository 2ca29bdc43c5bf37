"""Which weights a step keeps where masks are learned: what the sampler says of ranked scores."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from torch import Tensor

from prunekit.contracts import Follower, MaskSampler, follows
from prunekit.draws.chance import generator
from prunekit.network.model import Network, Scores
from prunekit.pruning.answers import check_masks, sample
from prunekit.selection.budget import Budget


@attrs.frozen(eq=False)
class Kept:
    """The weights whose ranked score reaches the threshold of their layer; else those of `drawn`.

    thresholds: name -> the smallest score kept, a number or a tensor of one number on the scores'
    device; None where the sampler gives none. drawn: then its masks, bool, True = kept.
    """

    ranked: Scores
    thresholds: Mapping[str, float | Tensor] | None = None
    drawn: dict[str, Tensor] | None = None

    def masks(self) -> dict[str, Tensor]:
        """Name -> bool tensor of the weight's shape, True = kept."""
        if self.thresholds is None:
            return self.drawn or {}
        return {name: score >= self.thresholds[name] for name, score in self.ranked.items()}


@attrs.frozen(eq=False)
class StepSampler:
    """A mask sampler that is asked in every step; chance is a function of (seed, purpose, step).

    follower: finds the thresholds, where the sampler offers that for this budget.
    """

    sampler: MaskSampler
    budget: Budget
    seed: int
    follower: Follower | None

    @classmethod
    def of(cls, sampler: MaskSampler, budget: Budget, seed: int, ranked: Scores) -> StepSampler:
        """For a training whose first step ranks `ranked`."""
        follower = sampler.follow(ranked, budget) if follows(sampler) else None
        return cls(sampler, budget, seed, follower)

    def kept(self, ranked: Scores, purpose: str, step: int) -> Kept:
        """What is kept of these ranked scores in this step."""
        if self.follower is not None:
            return Kept(ranked, self.follower.thresholds(ranked))
        rng = generator(self.seed, "sample", purpose, step)
        return Kept(ranked, drawn=sample(self.sampler, ranked, self.budget, rng).masks)

    def checked_masks(self, ranked: Scores, network: Network) -> dict[str, Tensor]:
        """What is kept for evaluation; PluginError for masks that break the contract."""
        masks = self.kept(ranked, "settle", 0).masks()
        check_masks(self.sampler, masks, network, self.budget)
        return masks
