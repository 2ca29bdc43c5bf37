"""Relative magnitude: score a weight by its size beside the others of its layer.

Authors, venue and year, link, section:

    s_j = |w_j|^p / mean_k |w_k|^p

w_k are the weights of the layer that holds w_j; p has no unit, nor has s.
Differs from the paper: there is none yet; say here what you changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs
import torch

import prunekit


@attrs.frozen
class Mymethod:
    """Score a weight by its magnitude relative to its layer."""

    reads: ClassVar[str] = "nothing"  # no data; leave it out if your method needs batches
    suggests: ClassVar[dict[str, int]] = {"rounds.count": 1}

    power: float = prunekit.option(1.0, help="exponent p", validator=prunekit.positive())

    def score(
        self,
        network: prunekit.Network,
        batches: Sequence[prunekit.Batch],
        rng: torch.Generator,
    ) -> prunekit.Scores:
        return {name: relative_magnitude(w, self.power) for name, w in network.weights.items()}


def relative_magnitude(weight: torch.Tensor, power: float) -> torch.Tensor:
    """|w|^p over its mean, of the shape of `weight`; 0 where the whole layer is 0."""
    size = weight.abs().pow(power)
    smallest = torch.finfo(size.dtype).tiny
    return size / size.mean().clamp_min(smallest)


@prunekit.hookimpl
def prunekit_scorers() -> dict[str, type[Mymethod]]:
    return {"mymethod": Mymethod}
