"""What every mask sampler must do; each check's docstring is a sentence of the contract."""

from __future__ import annotations

import torch
from torch import Tensor

from prunekit.contracts import Follower, MaskSampler, exact, follows, scales
from prunekit.draws.chance import generator
from prunekit.network.model import Scores
from prunekit.pruning import rounds
from prunekit.selection.budget import Budget, Sampled
from prunekit.testing import options, tiny


def sampled(
    sampler: MaskSampler, scores: Scores, budget: Budget, seed: int = 0, global_seed: int = 0
) -> Sampled:
    """What the sampler returns, with the global generators seeded and restored."""
    with tiny.global_chance(global_seed):
        return rounds.sample(sampler, scores, budget, generator(seed, "sample"))


def kept_in(masks: dict[str, Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def _check_count(sampler: MaskSampler, scores: Scores, kept: int, what: str) -> None:
    found = kept_in(sampled(sampler, scores, Budget(kept)).masks)
    right = found == kept or not exact(sampler)
    assert right, f"kept {found} of {what} where the budget is {kept}"


def check_masks_are_bool(sampler: MaskSampler) -> None:
    """One bool tensor for each name in `scores`, of the score's shape."""
    scores = tiny.scores()
    masks = sampled(sampler, scores, Budget(40)).masks
    expected = {name: (tuple(score.shape), torch.bool) for name, score in scores.items()}
    found = {name: (tuple(mask.shape), mask.dtype) for name, mask in masks.items()}
    assert found == expected, f"expected masks {expected}, got {found}"


def check_exactly_the_budget_is_kept(sampler: MaskSampler) -> None:
    """Exactly `budget.kept` entries are True, from one weight to all of them."""
    scores = tiny.scores()
    for kept in (1, 2, 40, 126, 127):
        _check_count(sampler, scores, kept, "127 distinct scores")


def check_every_round_keeps_the_budget(sampler: MaskSampler) -> None:
    """The rounds before the last keep exactly their budget too."""
    found = kept_in(sampled(sampler, tiny.scores(), Budget(40, last=False)).masks)
    assert found == 40 or not exact(sampler), f"kept {found} of 40 in a round before the last"


def check_only_competing_weights_are_kept(sampler: MaskSampler) -> None:
    """A weight that may not compete is never kept, whatever its score."""
    scores = tiny.scores()
    competing = {name: score < 0.6 for name, score in scores.items()}
    ruled_out = {name: score.clone() for name, score in scores.items()}
    for name, score in ruled_out.items():
        score[~competing[name]] = 0.0
    masks = sampled(sampler, ruled_out, Budget(5, competing=competing)).masks
    wrong = sum(int((mask & ~competing[name]).sum()) for name, mask in masks.items())
    assert not wrong, f"kept {wrong} weights that may not compete; read budget.competing"


def check_few_competing_weights_are_all_kept(sampler: MaskSampler) -> None:
    """An exact one keeps just those that compete where the budget is their number, zeros too."""
    if not exact(sampler):
        return  # one that draws by score may refuse scores that are all zero
    zeros = {name: torch.zeros_like(score) for name, score in tiny.scores().items()}
    competing = {name: torch.zeros_like(score, dtype=torch.bool) for name, score in zeros.items()}
    competing["b"][1:3] = True
    masks = sampled(sampler, zeros, Budget(36, competing=competing)).masks
    right = tiny.same(masks, competing)
    assert right, f"kept {kept_in(masks)} of 36 competing weights with score 0"


def check_ties_do_not_change_the_count(sampler: MaskSampler) -> None:
    """Scores that are all equal keep exactly the budget."""
    tied = {name: torch.ones_like(score) for name, score in tiny.scores().items()}
    _check_count(sampler, tied, 40, "127 equal scores")


def check_zeros_do_not_change_the_count(sampler: MaskSampler) -> None:
    """Scores that are nearly all zero keep exactly the budget."""
    zeros = {name: torch.zeros_like(score) for name, score in tiny.scores().items()}
    zeros["c"][:3] = torch.tensor([3.0, 1.0, 2.0])
    _check_count(sampler, zeros, 40, "127 scores, three above zero")


def check_huge_ranges_do_not_change_the_count(sampler: MaskSampler) -> None:
    """Scores from 1e-30 to 1e30 keep exactly the budget."""
    spread = {name: 10.0 ** (60 * (s.double() - 0.6)) for name, s in tiny.scores().items()}
    _check_count(sampler, spread, 40, "127 scores from 1e-30 to 1e30")


def check_signed_scores_do_not_change_the_count(sampler: MaskSampler) -> None:
    """Scores of both signs keep exactly the budget."""
    signed = {name: score - 0.6 for name, score in tiny.scores().items()}
    _check_count(sampler, signed, 40, "127 scores of both signs")


def check_scale_fits_the_masks(sampler: MaskSampler) -> None:
    """A scale, where one is returned, is finite and positive for every kept weight."""
    result = sampled(sampler, tiny.scores(), Budget(40))
    stated = scales(sampler)
    assert stated or not result.scale, "it returned a scale; state `scales = True`"
    for name, scale in (result.scale or {}).items():
        assert scale.shape == result.masks[name].shape, f"the scale of {name} has another shape"
        kept = scale[result.masks[name].bool()]
        assert (kept.isfinite() & (kept > 0)).all(), f"the scale of {name} must be finite and > 0"


def check_thresholds_are_those_of_the_masks(sampler: MaskSampler) -> None:
    """One that follows scores keeps exactly those that reach its thresholds, at every step."""
    first = {name: score for name, score in tiny.scores().items() if score.numel()}
    for budget in (Budget(36), Budget(36, "layer", density=0.3)):
        follower = sampler.follow(first, budget) if follows(sampler) else None
        if follower is not None:
            _check_steps(sampler, follower, first, budget)


def _check_steps(sampler: MaskSampler, follower: Follower, first: Scores, budget: Budget) -> None:
    """Four steps: the scores grow a little and change places."""
    for step in range(4):
        scores = {name: score.roll(step) + 0.01 * step for name, score in first.items()}
        least, masks = follower.thresholds(scores), sampled(sampler, scores, budget).masks
        reached = {name: score >= least[name] for name, score in scores.items()}
        right = tiny.same(masks, reached)
        assert right, "sample keeps others than the scores that reach the thresholds of follow"


def check_scores_are_as_before(sampler: MaskSampler) -> None:
    """The scores it was given still hold the same values."""
    given = tiny.scores()
    sampled(sampler, given, Budget(40))
    assert tiny.same(given, tiny.scores()), "sampling changed the scores"


def check_same_rng_gives_same_masks(sampler: MaskSampler) -> None:
    """The masks are a function of scores, budget and `rng`, whatever the global generators."""
    first = sampled(sampler, tiny.scores(), Budget(40), global_seed=1).masks
    second = sampled(sampler, tiny.scores(), Budget(40), global_seed=2).masks
    assert tiny.same(first, second), "the masks depend on chance other than rng"


def check_global_generators_are_untouched(sampler: MaskSampler) -> None:
    """The global generators of torch, NumPy and Python stand where they stood."""
    with tiny.chance_unmoved("sampling moved a global generator; use rng"):
        sampler.sample(tiny.scores(), Budget(40), generator(0, "sample"))


CHECKS = (
    check_masks_are_bool,
    check_exactly_the_budget_is_kept,
    check_every_round_keeps_the_budget,
    check_only_competing_weights_are_kept,
    check_few_competing_weights_are_all_kept,
    check_ties_do_not_change_the_count,
    check_zeros_do_not_change_the_count,
    check_huge_ranges_do_not_change_the_count,
    check_signed_scores_do_not_change_the_count,
    check_scale_fits_the_masks,
    check_thresholds_are_those_of_the_masks,
    check_scores_are_as_before,
    check_same_rng_gives_same_masks,
    check_global_generators_are_untouched,
    *options.CHECKS,
)
