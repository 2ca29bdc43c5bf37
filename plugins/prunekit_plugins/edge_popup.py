"""edge-popup: find a subnetwork of a random network by training scores, never the weights.

Ramanujan, Wortsman, Kembhavi, Farhadi & Rastegari, CVPR 2020, https://arxiv.org/abs/1911.13299,
section 3. Each weight w has a score s; the sampler keeps the weights of each layer that rank best,
in every forward pass anew. With mask m the effective weight is w * m, and SGD trains s by the
straight-through estimator, for kept and pruned weights alike:

    dL/ds = dL/d(w m) * w * rank'(s)

signed: rank(s) = s, with the k-th-value threshold (topk.rule = kth); the results published by
Chijiwa et al., NeurIPS 2021 (IteRand), appendix, rank so. absolute: rank(s) = |s|, with the
truncated count (topk.rule = truncate), as in the paper's own code.
Scores start as U(-b, b): b = sqrt(6 / fan_in) (kaiming, as in the published IteRand results) or
b = 1 / sqrt(fan_in) (hidden-networks).
Differs from the paper: density is the share of weights kept, whatever the published code calls it;
chance comes from the run's seed. A sampler that draws (sketch) draws anew in every
step; in evaluation, and for the masks that are saved, it draws with the same chance every time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import attrs
import torch
from torch import Tensor

import prunekit
from prunekit import Network, Scores

BOUNDS = {"kaiming": lambda n: math.sqrt(6 / n), "hidden-networks": lambda n: 1 / math.sqrt(n)}
"""Score init -> the bound b of U(-b, b) at fan-in n."""

RANKS = {"signed": lambda s: s, "absolute": torch.abs}
"""Variant -> rank(s), what the sampler sees."""

RULES = {"signed": "kth", "absolute": "truncate"}
"""Variant -> the threshold it was published with, an option of topk."""


@attrs.frozen
class EdgePopup:
    """Train a score for each weight of a random network; the weights stay as drawn."""

    variant: Literal["signed", "absolute"] = prunekit.option(
        "signed", help="what is ranked: the scores, or their absolute values"
    )
    score_init: Literal["kaiming", "hidden-networks"] = prunekit.option(
        "kaiming", help="bound of the initial scores: sqrt(6/fan-in), or 1/sqrt(fan-in)"
    )

    @property
    def suggests(self) -> Mapping[str, object]:
        return {
            "sampler": "topk",
            "sampler.rule": RULES[self.variant],
            "prune.allocation": "layer",
            "prune.density": 0.5,
            "norm": "non-affine",
        }

    def initial(self, network: Network, rng: torch.Generator) -> Scores:
        """Uniform scores, float32, one tensor for every maskable parameter."""
        bound = BOUNDS[self.score_init]
        for name, layer in network.layers.items():
            if len(layer.shape) < 2:
                raise prunekit.SpecError(
                    f"{name} has shape {tuple(layer.shape)} and so no fan-in, which its scores "
                    "need; leave it out of prune.include"
                )
        return {
            name: torch.empty(layer.shape)
            .uniform_(-1, 1, generator=rng)
            .mul_(bound(max(layer.fan_in, 1)))
            for name, layer in network.layers.items()
        }

    def rank(self, score: Tensor) -> Tensor:
        """What the sampler ranks; the gradient passes through it."""
        return RANKS[self.variant](score)


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"edge-popup": EdgePopup}
