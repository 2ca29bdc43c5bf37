"""Magnitude: keep the largest weights.

Han, Pool, Tran & Dally, NeurIPS 2015, https://arxiv.org/abs/1506.02626:

    s_j = |w_j|

in the weights' own unit. With rounds that train and rewind this is the score of iterative
magnitude pruning (Frankle & Carbin, ICLR 2019, https://arxiv.org/abs/1803.03635).
Differs from the paper: the threshold is that of the sampler, global by default, instead of one
for each layer set by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs
import torch

import prunekit
from prunekit import Batch, Network, Scores


@attrs.frozen
class Magnitude:
    """Score a weight by its absolute value."""

    reads: ClassVar[str] = "nothing"
    suggests: ClassVar[Mapping[str, object]] = {"rounds.count": 1}

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        """Return |w| before masking; `batches` are not read."""
        return {name: weight.abs() for name, weight in network.weights.items()}


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"magnitude": Magnitude}
