"""Each sampler check catches the component that breaks it, and only that one."""

from __future__ import annotations

import attrs
import pytest
import torch

from prunekit import testing
from prunekit.selection.budget import Sampled


def keys_of(scores, budget):
    """Scores in float64, -inf where a weight may not compete."""
    keys = {name: score.double().clone() for name, score in scores.items()}
    for name, allowed in (budget.competing or {}).items():
        keys[name][~allowed] = -torch.inf
    return keys


def largest(keys, kept):
    """Masks of the `kept` largest entries over all tensors, ties by index."""
    flat = torch.cat([key.reshape(-1) for key in keys.values()])
    chosen = torch.zeros(len(flat), dtype=torch.bool)
    chosen[flat.argsort(descending=True, stable=True)[:kept]] = True
    parts = chosen.split([key.numel() for key in keys.values()])
    return {name: part.reshape(keys[name].shape) for name, part in zip(keys, parts)}


@attrs.frozen
class Good:
    def sample(self, scores, budget, rng):
        return Sampled(largest(keys_of(scores, budget), budget.kept))


@attrs.frozen
class FloatMasks(Good):
    def sample(self, scores, budget, rng):
        masks = Good.sample(self, scores, budget, rng).masks
        if budget.competing is None:
            return Sampled({**masks, "none": masks["none"].float()})
        return Sampled(masks)


@attrs.frozen
class NeverKeepsAll(Good):
    def sample(self, scores, budget, rng):
        return Sampled(largest(keys_of(scores, budget), min(budget.kept, 126)))


@attrs.frozen
class IdleBeforeTheLastRound(Good):
    def sample(self, scores, budget, rng):
        kept = budget.kept if budget.last else 127
        return Sampled(largest(keys_of(scores, budget), kept))


@attrs.frozen
class IgnoresCompeting(Good):
    def sample(self, scores, budget, rng):
        masks = Good.sample(self, scores, budget, rng).masks
        if budget.competing is not None and any(s.any() for s in scores.values()):
            return Sampled({name: ~budget.competing[name] for name in masks})
        return Sampled(masks)


@attrs.frozen
class NeedsPositiveScores(Good):
    def sample(self, scores, budget, rng):
        masks = Good.sample(self, scores, budget, rng).masks
        idle = not any(score.any() for score in scores.values())
        return Sampled({name: mask & (not idle) for name, mask in masks.items()})


@attrs.frozen
class KeepsTies(Good):
    def sample(self, scores, budget, rng):
        masks = Good.sample(self, scores, budget, rng).masks
        values = {float(value) for score in scores.values() for value in score.reshape(-1)}
        return Sampled({name: mask | (values == {1.0}) for name, mask in masks.items()})


@attrs.frozen
class NeverKeepsZeros(Good):
    def sample(self, scores, budget, rng):
        masks = Good.sample(self, scores, budget, rng).masks
        if budget.competing is None:
            masks = {name: mask & scores[name].ne(0) for name, mask in masks.items()}
        return Sampled(masks)


@attrs.frozen
class LosesSmallScores(Good):
    def sample(self, scores, budget, rng):
        masks = Good.sample(self, scores, budget, rng).masks
        top = max(float(score.max()) for score in scores.values() if score.numel())
        small = {name: (s > 0) & (s < 1e-15 * top) for name, s in scores.items()}
        return Sampled({name: mask & ~small[name] for name, mask in masks.items()})


@attrs.frozen
class NeedsNonNegativeScores(Good):
    def sample(self, scores, budget, rng):
        masks = Good.sample(self, scores, budget, rng).masks
        signed = any((score < 0).any() for score in scores.values())
        return Sampled({name: mask & (not signed) for name, mask in masks.items()})


@attrs.frozen
class InfiniteScale(Good):
    def sample(self, scores, budget, rng):
        masks = Good.sample(self, scores, budget, rng).masks
        return Sampled(masks, {name: 1 / (~mask).float() for name, mask in masks.items()})


@attrs.frozen
class FollowsLate(Good):
    """Its thresholds are those of the first step, forever."""

    def follow(self, scores, budget):
        masks = Good.sample(self, scores, budget, None).masks
        return Remembered(
            {n: s[masks[n]].min() if masks[n].any() else 2.0 for n, s in scores.items()}
        )


@attrs.frozen
class Remembered:
    found: dict

    def thresholds(self, scores):
        return self.found


@attrs.frozen
class NormalisesScores(Good):
    def sample(self, scores, budget, rng):
        masks = Good.sample(self, scores, budget, rng).masks
        scores["a"].div_(2)
        return Sampled(masks)


@attrs.frozen
class OwnChance(Good):
    def sample(self, scores, budget, rng):
        keys = keys_of(scores, budget)
        with torch.random.fork_rng(devices=[]):
            keys = {name: key + torch.rand(key.shape) for name, key in keys.items()}
        return Sampled(largest(keys, budget.kept))


@attrs.frozen
class DrawsFromTorch(Good):
    def sample(self, scores, budget, rng):
        torch.rand(3)
        return Good.sample(self, scores, budget, rng)


BROKEN = [
    (FloatMasks(), "check_masks_are_bool"),
    (NeverKeepsAll(), "check_exactly_the_budget_is_kept"),
    (IdleBeforeTheLastRound(), "check_every_round_keeps_the_budget"),
    (IgnoresCompeting(), "check_only_competing_weights_are_kept"),
    (NeedsPositiveScores(), "check_few_competing_weights_are_all_kept"),
    (KeepsTies(), "check_ties_do_not_change_the_count"),
    (NeverKeepsZeros(), "check_zeros_do_not_change_the_count"),
    (LosesSmallScores(), "check_huge_ranges_do_not_change_the_count"),
    (NeedsNonNegativeScores(), "check_signed_scores_do_not_change_the_count"),
    (InfiniteScale(), "check_scale_fits_the_masks"),
    (FollowsLate(), "check_thresholds_are_those_of_the_masks"),
    (NormalisesScores(), "check_scores_are_as_before"),
    (OwnChance(), "check_same_rng_gives_same_masks"),
    (DrawsFromTorch(), "check_global_generators_are_untouched"),
]


def test_a_good_sampler_passes_every_check():
    assert testing.problems("sampler", Good()) == []


@pytest.mark.parametrize(("sampler", "check"), BROKEN, ids=lambda v: type(v).__name__)
def test_a_broken_sampler_fails_its_check_and_no_other(sampler, check):
    failed = [line.partition(":")[0] for line in testing.problems("sampler", sampler)]
    assert failed == [check]


def test_every_sampler_check_has_a_component_that_breaks_it():
    own = [c for c in testing.CHECKS["sampler"] if c.__module__ == "prunekit.testing.samplers"]
    assert {check for _, check in BROKEN} == {check.__name__ for check in own}


def test_a_sampler_that_states_that_it_is_inexact_may_keep_another_number():
    @attrs.frozen
    class Inexact(NeverKeepsAll):
        exact = False

    assert testing.problems("sampler", Inexact()) == []
