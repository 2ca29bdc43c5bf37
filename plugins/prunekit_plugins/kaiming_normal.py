"""kaiming-normal: weights N(0, 2 / fan_in).

He, Zhang, Ren & Sun, ICCV 2015, https://arxiv.org/abs/1502.01852, equation 10 (forward case).
fan_in = in_features, or in_channels / groups * kernel height * kernel width.
Differs from the paper: the last layer and layers without ReLU take the same law; biases are left;
no weight is over 6.4 standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import attrs
from torch import Tensor

import prunekit
from prunekit import Layer


@attrs.frozen
class KaimingNormal:
    """Normal weights that keep the variance of ReLU activations from layer to layer."""

    def quantile(self, layer: Layer) -> Callable[[Tensor], Tensor]:
        return partial(prunekit.normal_values, deviation=math.sqrt(2 / layer.fan_in))


@prunekit.hookimpl
def prunekit_inits() -> Mapping[str, type]:
    return {"kaiming-normal": KaimingNormal}
