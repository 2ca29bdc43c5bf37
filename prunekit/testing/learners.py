"""What a scorer whose scores are learned must do besides; a scorer that measures passes unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from prunekit.contracts import learns

SCORES = (-2.0, -0.5, -0.01, 0.02, 0.3, 1.0, 4.0)


def check_rank_is_elementwise(scorer: Any) -> None:
    """`rank` sees one score at a time: it keeps the shape, and no other score matters."""
    if not learns(scorer):
        return
    scores = torch.tensor(SCORES)
    whole = scorer.rank(scores)
    assert whole.shape == scores.shape, f"rank made {tuple(whole.shape)} of {tuple(scores.shape)}"
    alone = torch.stack([scorer.rank(score) for score in scores])
    assert torch.equal(whole, alone), "rank of a score depends on the scores around it"


def check_rank_grows_with_positive_scores(scorer: Any) -> None:
    """Of two positive scores the larger ranks at least as high, and finite scores rank finite."""
    if not learns(scorer):
        return
    ranked = scorer.rank(torch.tensor(SCORES))
    assert ranked.isfinite().all(), "finite scores rank NaN or infinite"
    positive = ranked[torch.tensor(SCORES) > 0]
    assert (positive.diff() >= 0).all(), "a larger positive score ranks lower; larger is kept"


def check_gradients_pass_through_rank(scorer: Any) -> None:
    """`rank` is differentiable, and no score other than 0 has the slope 0: else it cannot learn."""
    if not learns(scorer):
        return
    scores = torch.tensor(SCORES, requires_grad=True)
    ranked: Tensor = scorer.rank(scores)
    assert ranked.requires_grad, "rank cuts the gradient off; use differentiable operations"
    (slope,) = torch.autograd.grad(ranked.sum(), scores)
    assert slope.isfinite().all(), "rank has a slope that is NaN or infinite"
    assert slope.ne(0).all(), "rank has the slope 0 at a score that is not 0"
    zero = torch.zeros(1, requires_grad=True)
    (slope,) = torch.autograd.grad(scorer.rank(zero).sum(), zero)
    assert slope.isfinite().all(), "rank has a slope that is NaN or infinite at 0, which scores are"


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_rank_is_elementwise,
    check_rank_grows_with_positive_scores,
    check_gradients_pass_through_rank,
)
