"""What a training owns where masks are learned: scores over frozen random weights.

The other owner of the loop (loop.py) is that of weights under a fixed mask, masked.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from prunekit.contracts import LearnedScorer, MaskSampler, Reinitializer
from prunekit.draws.chance import generator
from prunekit.network.laws import Law
from prunekit.network.model import Network
from prunekit.pruning.rounds import Pruning
from prunekit.selection.budget import Budget
from prunekit.training.frozen import Frozen
from prunekit.training.kept import Kept, StepSampler
from prunekit.training.redraws import Redraws
from prunekit.training.scores import TrainedScores


@attrs.frozen(eq=False)
class LearnedScores:
    """Trains one score for each maskable weight; the weights stay as drawn.

    In every step the sampler masks the weights by the ranked scores; the effective weights w * m
    are written into the model's own parameters, and the chain rule maps their gradients back:
    dL/ds = dL/d(w m) * w * rank'(s). Everything else in the model is frozen.

    frozen: the weights of `network`, before masking. awaited: parameters of the model that get
    gradients, because DistributedDataParallel waits for them, and are not trained.
    """

    network: Network
    scores: TrainedScores
    sampler: StepSampler
    redraws: Redraws
    frozen: Frozen
    awaited: list[nn.Parameter]

    @classmethod
    def of(
        cls,
        network: Network,
        scorer: LearnedScorer,
        sampler: MaskSampler,
        budget: Budget,
        reinit: Reinitializer,
        law: Law,
        seed: int,
        awaited: Iterable[nn.Parameter] = (),
    ) -> LearnedScores:
        """Before the first step over the weights of `network` as they are.

        law: that of the weights, from which `reinit` redraws. Changes which parameters of the
        model require a gradient: the maskable ones and `awaited`. Raises what
        `scores.TrainedScores.of` raises.
        """
        effective = network.effective.values()
        beside = without(awaited, effective)
        for parameter in network.model.parameters():
            parameter.requires_grad_(False)
        for parameter in (*effective, *beside):
            parameter.requires_grad_(True)
        scores = TrainedScores.of(scorer, network, generator(seed, "initial scores"))
        asked = StepSampler.of(sampler, budget, seed, scores.ranked())
        redraws = Redraws.of(reinit, law, seed, network.weights)
        frozen = Frozen.of(network.weights)
        network.weights = frozen  # type: ignore[assignment]  # a mapping, until `release`
        return cls(network, scores, asked, redraws, frozen, beside)

    def trained(self) -> list[nn.Parameter]:
        return list(self.scores.values())

    @torch.no_grad()
    def before_step(self, step: int) -> None:
        """Redraw if an event is due at this 0-based step, then mask by the current scores."""
        kept = self.sampler.kept(self.scores.ranked(), "step", step)
        if self.redraws.due(step):
            self.redraws.redraw(kept, self.network, self.frozen)
        self.write(kept)
        self.network.masks = None  # a byte for each weight; the scores say the same

    def write(self, kept: Kept) -> None:
        """Write w * m into the model: in one pass where there are thresholds."""
        if kept.thresholds is None:
            self.network.mask(kept.masks())
        else:
            self.frozen.write_all(kept.ranked, kept.thresholds, self.network.effective)

    @torch.no_grad()
    def after_backward(self) -> None:
        """The gradients of the effective weights become those of the scores."""
        for parameter in self.awaited:
            parameter.grad = None
        gradients = taken_gradients(self.network.effective)
        self.frozen.multiply_all(gradients)
        self.scores.take_gradients(gradients)

    @torch.no_grad()
    def settle(self) -> None:
        """Mask by the scores as they stand now: what is evaluated and saved.

        Raises NumericalError for scores that are not finite: the loss of frozen weights stays so.
        """
        self.scores.check_finite()
        self.network.mask(self.sampler.checked_masks(self.scores.ranked(), self.network))

    def metrics(self) -> dict[str, Any]:
        """Of a reinitializer that acts: redraws so far, and the share of kept weights redrawn."""
        return self.redraws.metrics(self.network.masks or {})

    def finish(self, pruning: Pruning) -> None:
        """Hand over the ranked scores, and which weights were redrawn when; weights are floats."""
        self.release()
        pruning.scores = self.scores.ranked()
        pruning.draws, pruning.redraws = self.redraws.numbers(), self.redraws.total

    def release(self) -> None:
        """Let the network hold its weights as a dictionary of floats, as it did before."""
        self.frozen.use_floats()
        self.network.weights = self.frozen.held

    def state(self) -> dict[str, Tensor]:
        return self.scores.state() | self.redraws.state()

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.scores.load_state(tensors)
        self.redraws.load_state(tensors)


@contextmanager
def unpruned_by_errors(owner: LearnedScores) -> Iterator[None]:
    """After an error or an interrupt the network holds all of its weights."""
    try:
        yield
    except BaseException:
        owner.release()
        owner.network.mask(None)
        raise


@contextmanager
def flags_restored(model: nn.Module) -> Iterator[None]:
    """Afterwards every parameter requires a gradient as it did before."""
    flags = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        yield
    finally:
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)


def taken_gradients(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The gradients of those that have one, dense; none has one afterwards."""
    gradients = {}
    for name, parameter in parameters.items():
        gradient, parameter.grad = parameter.grad, None
        if gradient is not None:
            gradients[name] = gradient.to_dense() if gradient.is_sparse else gradient
    return gradients


def without(
    parameters: Iterable[nn.Parameter], others: Iterable[nn.Parameter]
) -> list[nn.Parameter]:
    """Those of `parameters` that are none of `others`."""
    left_out = set(map(id, others))
    return [parameter for parameter in parameters if id(parameter) not in left_out]
