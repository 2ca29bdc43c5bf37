"""IteRand: redraw a part of the pruned weights, so that they compete again.

Chijiwa, Yamaguchi, Ida, Umakoshi & Inoue, NeurIPS 2021, https://arxiv.org/abs/2106.09269,
section 3. With mask m, weights w, fresh values w~ from each layer's own init distribution and
b ~ Bernoulli(r), independent for every element:

    w <- m * w + (1 - m) * ((1 - b) * w + b * w~)

Kept weights stay as they are, bit for bit, so the network's output does not change.
With learned scores it acts inside training, every K_per = `period` optimizer steps, as published;
with measured scores between rounds. b is one random byte for each element, addressed by counter
(`prunekit.bernoulli_positions`); r counts in steps of 2^-40.
A run records `redraws`, the redraws of single weights so far, and `redrawn_share`, the share of the
kept weights that were ever redrawn; `redraw_events` says how often it acts.
Differs from the paper: it acts between rounds too, and chance comes from the run's seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs
import torch

import prunekit
from prunekit import Law, Network, Redraw


@attrs.frozen
class IteRand:
    """Redraw each pruned weight with probability `rate`."""

    rate: float = prunekit.option(
        0.1, help="r, the share of pruned weights redrawn", validator=prunekit.between(0, 1)
    )

    period: int | None = prunekit.left_open(
        300,
        help="K_per, steps between redraws inside training (learned scores)",
        validator=prunekit.at_least(1),
    )

    def reinit(self, network: Network, law: Law, rng: torch.Generator) -> dict[str, Redraw]:
        if network.masks is None:  # nothing is pruned yet
            return {}
        redraws = {}
        for name, mask in network.masks.items():
            where = prunekit.bernoulli_positions(~mask, self.rate, rng, name)  # m = 0 and b = 1
            redraws[name] = Redraw(where, law(name, rng, where))
        return redraws

    def rates(self, names: Iterable[str]) -> dict[str, float]:
        return dict.fromkeys(names, self.rate)


@prunekit.hookimpl
def prunekit_reinitializers() -> Mapping[str, type]:
    return {"iterand": IteRand}
