"""signed-constant (SC): every weight is +c or -c, each with probability 1/2.

Ramanujan, Wortsman, Kembhavi, Farhadi & Rastegari, CVPR 2020, https://arxiv.org/abs/1911.13299.
The signed Kaiming constant,

    c = sqrt(2 / fan_in),    scaled by density:  c = sqrt(2 / (fan_in * density))

The scaled variant keeps the variance of ReLU activations when that share of the weights is kept.
fan_in = in_features, or in_channels / groups * kernel height * kernel width.
Differs from the paper: its code scales with 1 - prune_rate, and its prune_rate is the share kept,
so a run of it that keeps 30 % has density = 0.7 here. The results of Chijiwa et al. (IteRand)
are unscaled. Every layer has the same density, whatever the sampler makes of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

import prunekit
from prunekit import Layer


@attrs.frozen
class SignedConstant:
    """One size for all weights of a layer, and a random sign for each."""

    density: float | None = prunekit.left_open(
        None,
        help="scale for this share of weights kept; left open: unscaled, as with IteRand",
        validator=prunekit.between(1e-6, 1),
    )

    def quantile(self, layer: Layer) -> prunekit.Sign:
        share = 1.0 if self.density is None else self.density
        return prunekit.Sign(math.sqrt(2 / (layer.fan_in * share)))


@prunekit.hookimpl
def prunekit_inits() -> Mapping[str, type]:
    return {"signed-constant": SignedConstant}
