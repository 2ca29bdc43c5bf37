"""Trained scores, one for each maskable weight, and their rank: what the sampler sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import attrs
import torch
from torch import Tensor, nn

from prunekit.contracts import LearnedScorer
from prunekit.errors import NumericalError
from prunekit.network.model import Network, Scores
from prunekit.pruning.answers import describe
from prunekit.pruning.scorecheck import check_learned
from prunekit.storage.checkpoints import flat, grouped


@attrs.frozen(eq=False)
class TrainedScores(Mapping[str, nn.Parameter]):
    """Parameter name -> its scores, of the weight's shape, dtype, device and order in memory.

    tensors: the same memory as plain tensors. rank_is_identity: whether `scorer.rank` hands back
    the tensor that it is given, so that nothing has to be computed.
    """

    scorer: LearnedScorer
    parameters: dict[str, nn.Parameter]
    tensors: Scores
    rank_is_identity: bool

    @classmethod
    def of(cls, scorer: LearnedScorer, network: Network, rng: torch.Generator) -> TrainedScores:
        """The scores that `scorer` starts with. Raises what `check_learned` raises."""
        initial = scorer.initial(network, rng)
        check_learned(scorer, initial, network, describe(scorer))
        parameters = {
            name: nn.Parameter(torch.empty_like(weight).copy_(initial[name]))
            for name, weight in network.weights.items()
        }
        tensors = {name: score.detach() for name, score in parameters.items()}
        identity = all(scorer.rank(score) is score for score in tensors.values())
        return cls(scorer, parameters, tensors, identity)

    def __getitem__(self, name: str) -> nn.Parameter:
        return self.parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def ranked(self) -> Scores:
        """What the sampler sees: rank(s), without gradients."""
        if self.rank_is_identity:  # on a GPU the processor's time for a step counts
            return self.tensors
        return {name: self.scorer.rank(score) for name, score in self.tensors.items()}

    def check_finite(self) -> None:
        """Raise NumericalError for the first scores that are not finite: no loss shows them."""
        sums = [score.sum() for score in self.tensors.values()]  # all before the first wait
        if all(map(math.isfinite, map(float, sums))):
            return
        for name, score in self.tensors.items():
            if not score.isfinite().all():
                raise NumericalError(
                    f"the scores of {name} are not finite; try a smaller train.lr, or train.clip 1"
                )

    def take_gradients(self, gradients: dict[str, Tensor]) -> None:
        """Set dL/ds = gradient * rank'(s), gradient = dL/d(w m) * w; 0 for a name without one.

        `gradients` is empty afterwards: through a rank each becomes another tensor.
        """
        for name, score in self.parameters.items():
            gradient = gradients.pop(name, None)
            if gradient is None:
                score.grad = torch.zeros_like(score)
            elif self.rank_is_identity:
                score.grad = gradient
            else:
                score.grad = through_rank(self.scorer.rank, score, gradient)

    def state(self) -> dict[str, Tensor]:
        return flat({"score": self.tensors}, ":")

    @torch.no_grad()
    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Stand where `state` was taken; KeyError for scores that are missing."""
        saved = grouped(tensors, ":")["score"]
        for name, score in self.tensors.items():
            score.copy_(saved[name])


def through_rank(rank: Callable[[Tensor], Tensor], score: Tensor, gradient: Tensor) -> Tensor:
    """gradient * rank'(score); the gradient itself where rank is the identity."""
    with torch.enable_grad():
        leaf = score.detach().requires_grad_()
        ranked = rank(leaf)
        if ranked is leaf:
            return gradient
        return torch.autograd.grad(ranked, leaf, gradient)[0]
