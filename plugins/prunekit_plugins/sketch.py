"""Sketched masks: draw the kept weights at random, each by its score.

Bar & Giryes, "Pruning at Initialization - A Sketching Perspective", 2023,
https://arxiv.org/abs/2305.17559. A score divided by the sum of scores is a probability p_i.

layerwise, section 8, the paper's experiments: (1) the threshold that keeps the asked number of
weights, (2) the number s_l that remains in each layer under it, (3) in each layer a draw of s_l
weights by score.

global: as many weights drawn from all layers together, exactly, without replacement.

algorithm-1: s = `budget.kept` draws from all weights with replacement. Weight i drawn c_i times
is multiplied by m_i = c_i / (s p_i), so (Lemma B.2)

    E[m_i] = 1,   Var[m_i] = (1/s) (1/p_i - 1)

At most s weights are kept, fewer when one is drawn twice; m is returned as the scale.
Differs from the paper: the draw in layerwise is without replacement and unscaled, which the paper
leaves open (it reports exact densities); any allocation may replace the threshold of step 1, and
with `row` step 3 draws in each output row. Which
rounds of an iterative method draw, and what a negative score means, is left open too: `when` and
`signed`. Weights without a positive score follow, best score first, when the others run out;
algorithm-1 never draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import attrs
import torch
from torch import Tensor

import prunekit
from prunekit import Budget, Sampled, Scores


@attrs.frozen
class Sketch:
    """Draw the kept weights at random, with probabilities in proportion to their scores.

    signed acts on scores with a negative one among those that compete (GraSP). The default clips:
    a negative score says that the weight is better removed, so it is kept only when the positive
    ones run out, best first, and positive scores stay in proportion. abs favours what the method
    most wants to remove; shift keeps the order, but one low outlier makes the draw near uniform.
    """

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file without rows
        "6f1abf27b436eb3e1b6acef2b79fe7293b0274e8a31f5ff4cca65e9dfcec8af0",
    )
    form: Literal["layerwise", "global", "algorithm-1"] = prunekit.option(
        "layerwise", help="draw in each layer, from all layers, or with replacement and scaled"
    )
    when: Literal["every", "last"] | None = prunekit.option(
        None, help="rounds that draw, the others keep the largest scores; left open: every"
    )
    signed: Literal["clip", "abs", "shift"] = prunekit.option(
        "clip", help="what negative scores become: 0, their size, or shifted so that the least is 0"
    )

    def __attrs_post_init__(self) -> None:
        if self.form == "algorithm-1" and self.when is not None:
            raise prunekit.SpecError(
                f"when = {self.when!r} cannot act: form algorithm-1 draws in the last round only"
            )

    @property
    def allocates(self) -> bool:
        """Whether an allocation to layers acts: only in the layerwise form."""
        return self.form == "layerwise"

    @property
    def exact(self) -> bool:
        """Whether exactly the asked number is kept: not where a weight may be drawn twice."""
        return self.form != "algorithm-1"

    @property
    def scales(self) -> bool:
        """Whether kept weights come with a factor."""
        return self.form == "algorithm-1"

    def sample(self, scores: Scores, budget: Budget, rng: torch.Generator) -> Sampled:
        if not self.allocates:
            budget = attrs.evolve(budget, allocation="global", densities=(), min_per_layer=0)
        if not budget.last and (self.form == "algorithm-1" or self.when == "last"):
            return Sampled(budget.best(scores))
        return FORMS[self.form](scores, SIGNED[self.signed], budget, rng)


Meaning = Callable[[Scores, Budget], Scores]


def layerwise(scores: Scores, signed: Meaning, budget: Budget, rng: torch.Generator) -> Sampled:
    weights: Scores = {}
    for name, score in scores.items():  # each layer has its own probabilities
        weights.update(signed({name: score}, budget))
    if budget.allocation == "row":
        return Sampled(budget.draw_in_rows(weights, rng))
    counts = budget.counts(scores)  # of the scores as they are: step 1 is the method's own
    return drawn(scores, weights, counts, budget, rng)


def globally(scores: Scores, signed: Meaning, budget: Budget, rng: torch.Generator) -> Sampled:
    weights = signed(scores, budget)
    return drawn(scores, weights, budget.kept, budget, rng)


def drawn(
    scores: Scores,
    weights: Scores,
    kept: int | dict[str, int],
    budget: Budget,
    rng: torch.Generator,
) -> Sampled:
    """Masks drawn by weight without replacement, on the device of the scores."""
    masks = prunekit.draw_without_replacement(weights, kept, rng, budget.competing)
    return Sampled({name: mask.to(scores[name].device) for name, mask in masks.items()})


def algorithm_1(scores: Scores, signed: Meaning, budget: Budget, rng: torch.Generator) -> Sampled:
    weights = signed(scores, budget)
    p = probabilities(weights, budget.competing)
    counts = prunekit.draw_with_replacement(p, budget.kept, rng)
    masks, scale = {}, {}
    for name, count in counts.items():
        where = count > 0
        m = torch.where(where, count / (budget.kept * p[name]), 1.0)
        masks[name] = where.to(scores[name].device)
        scale[name] = m.float().to(scores[name].device)
    return Sampled(masks, scale)


FORMS: Mapping[str, Callable[[Scores, Meaning, Budget, torch.Generator], Sampled]] = {
    "layerwise": layerwise,
    "global": globally,
    "algorithm-1": algorithm_1,
}


def probabilities(scores: Scores, competing: Mapping[str, Tensor] | None) -> Scores:
    """p_i = max(s_i, 0) / sum over all layers, float64 on the CPU; 0 where i may not compete."""
    positive = {name: score.detach().cpu().double().clamp(min=0) for name, score in scores.items()}
    if competing is not None:
        positive = {name: s * competing[name].cpu() for name, s in positive.items()}
    largest = max((float(s.max()) for s in positive.values() if s.numel()), default=0.0)
    if not largest > 0:
        raise prunekit.NumericalError(
            "no weight that competes has a positive score, so none can be drawn; see the scorer, "
            "or choose sampler.signed = abs"
        )
    scaled = {name: s / largest for name, s in positive.items()}  # a sum of 1e308s overflows
    total = sum(float(s.sum()) for s in scaled.values())
    return {name: s / total for name, s in scaled.items()}


def clip(scores: Scores, budget: Budget) -> Scores:
    """Scores as they are: every draw takes a negative one for zero."""
    return scores


def size(scores: Scores, budget: Budget) -> Scores:
    return {name: score.abs() for name, score in scores.items()}


def shift(scores: Scores, budget: Budget) -> Scores:
    """Scores less the lowest that competes, where that is negative."""
    lowest = 0.0
    for name, score in scores.items():
        rivals = score if budget.competing is None else score[budget.competing[name]]
        lowest = min([lowest, *([float(rivals.min())] if rivals.numel() else [])])
    return {name: score.detach().cpu().double() - lowest for name, score in scores.items()}


SIGNED: Mapping[str, Meaning] = {"clip": clip, "abs": size, "shift": shift}


@prunekit.hookimpl
def prunekit_samplers() -> dict[str, type[Sketch]]:
    return {"sketch": Sketch}
