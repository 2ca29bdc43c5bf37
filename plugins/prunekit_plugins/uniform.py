"""uniform: weights U(-bound, bound), the same in every layer.

With bound 1 the random network of the theory of strong tickets, e.g. Pensia, Rajput, Nagle,
Vishwakarma & Papailiopoulos, NeurIPS 2020, https://arxiv.org/abs/2006.07990.
Differs from the paper: biases are left; a weight is one of 2^24 equidistant values.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

import prunekit
from prunekit import Layer


@attrs.frozen
class Uniform:
    """Uniform weights that know nothing of the layer."""

    bound: float = prunekit.option(
        1.0, help="largest absolute value", validator=prunekit.positive()
    )

    def quantile(self, layer: Layer) -> prunekit.Uniform:
        return prunekit.Uniform(self.bound)


@prunekit.hookimpl
def prunekit_inits() -> Mapping[str, type]:
    return {"uniform": Uniform}
