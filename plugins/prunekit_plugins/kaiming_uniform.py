"""kaiming-uniform (KU): weights U(-b, b) with b = sqrt(6 / fan_in), so of variance 2 / fan_in.

He, Zhang, Ren & Sun, ICCV 2015, https://arxiv.org/abs/1502.01852: the variance of equation 10.
fan_in = in_features, or in_channels / groups * kernel height * kernel width.
Differs from the paper: uniform, not normal; every layer takes the same law; biases are left;
a weight is one of 2^24 equidistant values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

import prunekit
from prunekit import Layer


@attrs.frozen
class KaimingUniform:
    """Uniform weights that keep the variance of ReLU activations from layer to layer."""

    def quantile(self, layer: Layer) -> prunekit.Uniform:
        return prunekit.Uniform(math.sqrt(6 / layer.fan_in))


@prunekit.hookimpl
def prunekit_inits() -> Mapping[str, type]:
    return {"kaiming-uniform": KaimingUniform}
