"""Random: scores or masks that know nothing, the baseline every claim needs.

The scorer: s_j ~ U(0, 1], independent; keep the largest. No unit.

Source: the control of Tanaka et al. (SynFlow), NeurIPS 2020, https://arxiv.org/abs/2006.05467,
which draws standard normal scores and thresholds them globally.

The sampler: masks in which every weight has the same chance, whatever its score. Source: Qian &
Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065, section 4. Of D weights, N = D - kept are pruned:
without replacement exactly N; with replacement N times one of the D is drawn and pruned, so

    E[share kept] = (1 - 1/D)^N,   more than the density asked for.

Differs from the paper: uniform instead of normal noise, so that no score is negative or 0 and
samplers can use them as probabilities; under top-k the masks have the same distribution. The
allocation decides which weights are drawn from together, every layer may be pruned, and N is what
the density leaves, where Qian & Klabjan prune floor(D^(1 - alpha)) of each layer but the first and
last. What an earlier round pruned is not drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs
import torch

import prunekit
from prunekit import Batch, Budget, Network, Sampled, Scores


@attrs.frozen
class Random:
    """Score every weight by independent noise; in each round anew."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file of 0.2.0
        "d96b7e5cc55c0d963e7b14ed5b0ad49032777d9fc6e9b16aeac520eb234b835d",
    )
    reads: ClassVar[str] = "nothing"
    suggests: ClassVar[Mapping[str, object]] = {"rounds.count": 1}

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        """Return one number in (0, 1] for each weight; `batches` are not read."""
        return {
            name: (1 - torch.rand(weight.shape, generator=rng, dtype=torch.float32)).to(
                weight.device
            )
            for name, weight in network.weights.items()
        }


@attrs.frozen
class RandomMask:
    """Keep weights at random, each with the same chance; scores are not read."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file of 0.2.0
        "d96b7e5cc55c0d963e7b14ed5b0ad49032777d9fc6e9b16aeac520eb234b835d",
    )

    replacement: bool = prunekit.option(
        False, help="draw what is pruned with replacement: repeats are pruned once, more is kept"
    )

    @property
    def exact(self) -> bool:
        """Whether exactly the asked number is kept: not where a weight may be drawn twice."""
        return not self.replacement

    def sample(self, scores: Scores, budget: Budget, rng: torch.Generator) -> Sampled:
        """Return the masks; of `scores` only names, shapes and devices are read."""
        noise = {
            name: torch.rand(score.shape, generator=rng, dtype=torch.float64)
            for name, score in scores.items()
        }
        competing = {
            name: torch.ones_like(noise[name], dtype=torch.bool)
            if budget.competing is None
            else budget.competing[name].cpu()
            for name in scores
        }
        budget = attrs.evolve(budget, competing=competing)
        masks = with_replacement(noise, budget, rng) if self.replacement else budget.best(noise)
        return Sampled({name: mask.to(scores[name].device) for name, mask in masks.items()})


def with_replacement(noise: Scores, budget: Budget, rng: torch.Generator) -> Scores:
    """Masks without the weights that N draws hit, from all weights or, by allocation, a layer's."""
    rivals = budget.competing or {}
    if budget.by_threshold:
        flat = torch.cat([rivals[name].reshape(-1) for name in noise])
        kept = unhit(flat, budget.kept, rng).split([noise[name].numel() for name in noise])
        return {name: mask.reshape(noise[name].shape) for name, mask in zip(noise, kept)}
    if budget.allocation == "row":
        raise prunekit.SpecError(
            "random draws with replacement in whole layers, not in rows; choose allocation layer, "
            "or replacement = false"
        )
    counts = budget.counts(noise)
    return {
        name: unhit(rivals[name].reshape(-1), counts[name], rng).reshape(noise[name].shape)
        for name in noise
    }


def unhit(rivals: torch.Tensor, kept: int, rng: torch.Generator) -> torch.Tensor:
    """`rivals` (bool, 1-d) without those that D - kept draws with replacement hit, of D True."""
    at = rivals.nonzero().squeeze(1)
    mask = rivals.clone()
    if len(at) > kept:
        mask[at[torch.randint(len(at), (len(at) - kept,), generator=rng)]] = False
    return mask


@prunekit.hookimpl
def prunekit_samplers() -> Mapping[str, type]:
    return {"random": RandomMask}


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"random": Random}
