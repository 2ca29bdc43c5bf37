"""edge-popup: find a subnetwork of a random network by training scores, never the weights.

Ramanujan, Wortsman, Kembhavi, Farhadi & Rastegari, CVPR 2020, https://arxiv.org/abs/1911.13299,
section 3. Each weight w has a score s; the sampler keeps the weights of each layer that rank best,
in every forward pass anew. With mask m the effective weight is w * m, and SGD trains s by the
straight-through estimator, for kept and pruned weights alike:

    dL/ds = dL/d(w m) * w * rank'(s)

signed: rank(s) = s, with the k-th-value threshold (topk.rule = kth); the results published by
Chijiwa et al., NeurIPS 2021 (IteRand), appendix, rank so. absolute: rank(s) = |s|, with the
truncated count (topk.rule = truncate), as in the paper's own code. The k-th-value rule keeps all
scores from the k-th smallest on: one weight of each layer at least, and up to 1.5 more than asked,
which tells at tiny densities.
Scores start as U(-b, b): b = sqrt(6 / fan_in) (kaiming, as in the published IteRand results) or
b = 1 / sqrt(fan_in) (hidden-networks).
Differs from the paper: density is the share of weights kept, whatever the published code calls it;
a first score is one of 2^24 equidistant values, addressed by counter (`prunekit.uniform_scores`):
a function of the run's seed, the parameter's name and the element. A sampler that draws (sketch)
draws anew in every step; in evaluation, and for the masks that are saved, it draws with the same
chance every time. Signed scores start half below 0, and sketch clips those: where it is to keep
more than are above 0, as at the suggested density, it keeps all of these and chance has nothing to
do. A smaller density leaves it a choice; so does sampler.signed, but then the embedded digits were
not learned in 15 epochs.
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
        """U(-b, b), float32 on the CPU, one tensor of its shape for every maskable parameter.

        Of `rng` only the seed counts. Raises SpecError for a parameter without fan-in.
        """
        bound = BOUNDS[self.score_init]
        return {
            name: prunekit.uniform_scores(layer.shape, bound(layer.fan_in), rng, name)
            for name, layer in network.layers.items()
        }

    def rank(self, score: Tensor) -> Tensor:
        """What the sampler ranks; the gradient passes through it."""
        return RANKS[self.variant](score)


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"edge-popup": EdgePopup}
