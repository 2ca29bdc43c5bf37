"""hyperbolic: weights with a density proportional to 1 / |w|, so that every scale is as likely.

Orseau, Hutter & Rivasplata, "Logarithmic Pruning is All You Need", NeurIPS 2020,
https://arxiv.org/abs/2006.12156, hyperbolic weight sampling:

    p(w) = 1 / (2 |w| ln(high / low))    for low <= |w| <= high

Drawn as a random sign and |w| = high (low / high)^u, u uniform in [0, 1).
Differs from the paper: it sets both ends from the wanted error; here they are options, the same in
every layer, and biases are left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import attrs
from torch import Tensor

import prunekit
from prunekit import Layer

WIDEST = 2.0**90


@attrs.frozen
class Hyperbolic:
    """As many weights in every octave of sizes between two ends."""

    low: float = prunekit.option(1e-3, help="smallest |w|", validator=prunekit.positive())
    high: float = prunekit.option(1.0, help="largest |w|", validator=prunekit.positive())

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.high / self.low <= WIDEST:
            raise prunekit.SpecError(
                f"hyperbolic needs low <= high <= 2^90 low: low {self.low!r}, high {self.high!r}"
            )

    def quantile(self, layer: Layer) -> Callable[[Tensor], Tensor]:
        return partial(prunekit.log_uniform_values, low=self.low, high=self.high)


@prunekit.hookimpl
def prunekit_inits() -> Mapping[str, type]:
    return {"hyperbolic": Hyperbolic}
