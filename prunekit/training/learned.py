"""What a training owns where masks are learned: scores over frozen random weights.

The other owner of the loop (training.py) is that of weights under a fixed mask, masked.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from prunekit.contracts import period
from prunekit.draws.chance import fold, generator
from prunekit.errors import NumericalError
from prunekit.network.laws import Law
from prunekit.network.model import Network, Scores, put
from prunekit.pruning.rounds import Pruning, check_masks, check_pruned, describe, redraws_of, sample
from prunekit.pruning.scorecheck import check_learned
from prunekit.selection.budget import Budget
from prunekit.training.frozen import Frozen


@attrs.define(eq=False)
class LearnedScores:
    """Trains one score for each maskable weight; the weights stay as drawn.

    In every step the sampler masks the weights by the ranked scores; the effective weights w * m
    are written into the model's own parameters, and the chain rule maps their gradients back:
    dL/ds = dL/d(w m) * w * rank'(s). Everything else in the model is frozen.
    law: that of the weights; event e of the reinitializer redraws from its draw e.
    draws: int32, the event in which each weight was last redrawn; 0 = never.
    warm: what a sampler remembers from step to step; it decides no bit. frozen: the weights while
    scores are learned, one byte each where a sign is all there is to know. bystanders: parameters
    that get gradients and are not trained. counted: redraws so far, int64 (1,), with the scores.
    at_once: what the kernel that redraws knows. plain: the scores as plain tensors.
    as_is: whether they are ranked as they are.
    """

    network: Network
    scorer: Any
    sampler: Any
    budget: Budget
    reinit: Any
    law: Law
    seed: int
    scores: dict[str, nn.Parameter] = attrs.field(init=False)
    draws: dict[str, Tensor] = attrs.field(factory=dict)
    event: int = 0
    counted: Tensor = attrs.field(init=False)
    at_once: Any = None
    warm: dict[str, Any] = attrs.field(factory=dict)
    frozen: Frozen = attrs.field(init=False)
    plain: dict[str, Tensor] = attrs.field(init=False)
    as_is: bool = attrs.field(init=False)
    bystanders: list[nn.Parameter] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        network = self.network
        for parameter in network.model.parameters():
            parameter.requires_grad_(False)
        for parameter in network.effective.values():
            parameter.requires_grad_(True)
        initial = self.scorer.initial(network, generator(self.seed, "initial scores"))
        check_learned(self.scorer, initial, network, describe(self.scorer))
        self.scores = {
            name: nn.Parameter(torch.empty_like(weight).copy_(initial[name]))
            for name, weight in network.weights.items()
        }
        self.plain = {name: score.detach() for name, score in self.scores.items()}
        self.as_is = all(self.scorer.rank(score) is score for score in self.plain.values())
        device = next(iter(self.scores.values())).device
        self.counted = torch.zeros(1, dtype=torch.int64, device=device)
        if self.period:
            self.draws = {
                name: torch.zeros_like(weight, dtype=torch.int32)
                for name, weight in network.weights.items()
            }
        self.freeze(Frozen.of(network.weights))

    def freeze(self, frozen: Frozen | None = None) -> None:
        """Let the network hold its weights so; without a word, as floats."""
        self.frozen = Frozen(dict(self.network.weights)) if frozen is None else frozen
        signs = self.frozen.sizes is not None
        self.network.weights = self.frozen if signs else self.frozen.held  # type: ignore[assignment]

    @property
    def redraws(self) -> int:
        """How many redraws there were; waits for the device."""
        return int(self.counted)

    @property
    def period(self) -> int:
        """Steps between two redraws; 0 = never."""
        return period(self.reinit)

    def also_differentiate(self, parameters: list[nn.Parameter]) -> None:
        """Let these have gradients too, which somebody waits for; they are not trained."""
        weights = {id(parameter) for parameter in self.network.effective.values()}
        self.bystanders = [p for p in parameters if id(p) not in weights]
        for parameter in self.bystanders:
            parameter.requires_grad_(True)

    def trained(self) -> list[nn.Parameter]:
        return list(self.scores.values())

    @torch.no_grad()
    def before_step(self, step: int) -> None:
        """Redraw if an event is due at this 0-based step, then mask by the current scores."""
        due = self.period and (step + 1) % self.period == 0
        if due and not self.redraw_by_thresholds():
            self.network.masks = self.masks("step", step)
            self.redraw()
        self.write(step)
        self.network.masks = None  # a byte for each weight; the scores say the same

    @torch.no_grad()
    def settle(self) -> None:
        """Mask by the scores as they stand now: what is evaluated and saved.

        Raises NumericalError for scores that are not finite: the loss of frozen weights stays so.
        """
        sums = [score.sum() for score in self.scores.values()]  # all before the first wait
        if not all(map(math.isfinite, map(float, sums))):
            self.name_infinite()
        masks = self.masks("settle", 0)
        check_masks(self.sampler, masks, self.network, self.budget)
        self.network.mask(masks)

    def name_infinite(self) -> None:
        """Raise NumericalError for the first scores that are not finite."""
        for name, score in self.scores.items():
            if not score.isfinite().all():
                raise NumericalError(
                    f"the scores of {name} are not finite; try a smaller train.lr, or train.clip 1"
                )

    def ranked(self) -> Scores:
        if self.as_is:  # on a GPU the processor's time for a step counts
            return self.plain
        return {name: self.scorer.rank(score) for name, score in self.plain.items()}

    def masks(self, purpose: str, step: int) -> dict[str, Tensor]:
        ranked = self.ranked()
        thresholds = self.thresholds(ranked)
        if thresholds is not None:
            return {name: score >= thresholds[name] for name, score in ranked.items()}
        rng = generator(self.seed, "sample", purpose, step)
        return sample(self.sampler, ranked, self.budget, rng).masks

    def thresholds(self, ranked: Scores) -> dict[str, float | Tensor] | None:
        """The smallest score kept in each layer, where the sampler says it in advance."""
        find = getattr(self.sampler, "thresholds", None)
        return find(ranked, self.budget, self.warm) if find else None

    def write(self, step: int) -> None:
        """Write w * m into the model: in one pass where the sampler gives thresholds."""
        ranked = self.ranked()
        thresholds = self.thresholds(ranked)
        if thresholds is None:
            self.network.mask(self.masks("step", step))
            return
        self.frozen.write_all(ranked, thresholds, self.network.effective)

    def redraw_by_thresholds(self) -> bool:
        """`redraw` without masks, where one kernel does it; False: nothing was done."""
        if not self.counted.is_cuda:
            return False
        ranked = self.ranked()
        thresholds = self.thresholds(ranked)
        return thresholds is not None and self.redraw_at_once(ranked, thresholds)

    def redraw_at_once(self, kept: Scores, least: Mapping[str, Any] | None = None) -> bool:
        """`redraw` by one kernel for all layers, nothing waits for it; False: nothing was done.

        kept: masks; or scores, with the least score that is kept in each layer.
        """
        rates = getattr(self.reinit, "rates", None)
        if not self.counted.is_cuda or not kept or rates is None:
            return False
        from prunekit.training.redraw_triton import (
            Redraws,  # importing Triton takes long, and few need it
        )

        self.at_once = self.at_once or Redraws.of(self.law, rates(self.scores))
        event, held = self.event + 1, (self.frozen, self.draws, self.counted)
        seed = fold(self.seed, "reinit", event)
        done = bool(self.at_once) and self.at_once.redraw(kept, least, *held, seed, event)
        self.event += done
        return done

    def redraw(self) -> None:
        """One event of the reinitializer: pruned weights only; scores and their state stay."""
        if self.redraw_at_once(self.network.masks or {}):
            return
        self.event += 1
        rng = generator(self.seed, "reinit", self.event)
        redraws = redraws_of(self.reinit, self.network, self.law.numbered(self.event), rng)
        if self.event == 1:  # a tenth of an event's time
            check_pruned(self.reinit, self.network, redraws)
        for name, redraw in redraws.items():
            if not self.frozen.fits(name, redraw.where, redraw.values):
                self.freeze()
            self.counted += self.frozen.put(name, redraw.where, redraw.values)
            put(self.draws[name], redraw.where, self.event)

    @torch.no_grad()
    def after_backward(self) -> None:
        """The gradients of the effective weights become those of the scores."""
        for parameter in self.bystanders:
            parameter.grad = None
        gradients = {}
        for name, parameter in self.network.effective.items():
            gradient, parameter.grad = parameter.grad, None
            if gradient is None:
                self.scores[name].grad = torch.zeros_like(self.scores[name])
            else:
                gradients[name] = gradient.to_dense() if gradient.is_sparse else gradient
        self.frozen.multiply_all(gradients)
        while gradients:  # through a rank each becomes another tensor
            name, gradient = gradients.popitem()
            score = self.scores[name]
            score.grad = gradient if self.as_is else through_rank(self.scorer.rank, score, gradient)

    def metrics(self) -> dict[str, Any]:
        """Redraws so far, and the share of kept weights that were ever redrawn."""
        if not self.period:
            return {}
        masks = self.network.masks or {}
        ever = [torch.count_nonzero(mask & (self.draws[n] > 0)) for n, mask in masks.items()]
        kept = [torch.count_nonzero(mask) for mask in masks.values()]
        share = int(sum(ever)) / max(int(sum(kept)), 1)  # two waits, not two for each layer
        return {"redraws": self.redraws, "redrawn_share": share}

    def finish(self, pruning: Pruning) -> None:
        """Hand over the ranked scores, and which weights were redrawn when; weights are floats."""
        self.freeze()
        pruning.scores = self.ranked()
        pruning.draws, pruning.redraws = dict(self.draws), self.redraws

    def state(self) -> dict[str, Tensor]:
        counters = {"event": torch.tensor(self.event), "redraws": self.counted[0]}
        scores = {f"score:{name}": score for name, score in self.plain.items()}
        return scores | {f"draw:{name}": draws for name, draws in self.draws.items()} | counters

    @torch.no_grad()
    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        for name, score in self.scores.items():
            score.copy_(tensors[f"score:{name}"])
        for name, draws in self.draws.items():
            draws.copy_(tensors[f"draw:{name}"])
        self.event = int(tensors["event"])
        self.counted.fill_(int(tensors["redraws"]))


def through_rank(rank: Callable[[Tensor], Tensor], score: Tensor, gradient: Tensor) -> Tensor:
    """gradient * rank'(score); the gradient itself where rank is the identity."""
    with torch.enable_grad():
        leaf = score.detach().requires_grad_()
        ranked = rank(leaf)
        if ranked is leaf:
            return gradient
        return torch.autograd.grad(ranked, leaf, gradient)[0]
