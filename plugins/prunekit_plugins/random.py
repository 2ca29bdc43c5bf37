"""Random: a score that knows nothing, the baseline every claim needs.

    s_j ~ U(0, 1], independent; keep the largest. No unit.

Source: the control of Tanaka et al. (SynFlow), NeurIPS 2020, https://arxiv.org/abs/2006.05467,
which draws standard normal scores and thresholds them globally.
Differs from the paper: uniform instead of normal noise, so that no score is negative or 0 and
samplers can use them as probabilities; under top-k the masks have the same distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs
import torch

import prunekit
from prunekit import Batch, Network, Scores


@attrs.frozen
class Random:
    """Score every weight by independent noise; in each round anew."""

    reads: ClassVar[str] = "nothing"
    suggests: ClassVar[Mapping[str, object]] = {"rounds.count": 1}

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        """Return one number in (0, 1] for each weight; `batches` are not read."""
        return {
            name: (1 - torch.rand(weight.shape, generator=rng)).to(weight.device)
            for name, weight in network.weights.items()
        }


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"random": Random}
