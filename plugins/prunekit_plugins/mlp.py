"""mlp: linear layers with ReLU between them, on flattened inputs.

The default is LeNet-300-100 (LeCun et al., Proc. IEEE 1998; Frankle & Carbin, ICLR 2019).
Weights start with torch's law for Linear, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), biases too.
Differs from the paper: Frankle & Carbin draw Glorot-normal weights; name an --init to change it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import attrs
from torch import nn

import prunekit


@attrs.frozen
class MLP:
    """A multilayer perceptron."""

    hidden: tuple[int, ...] = prunekit.option((300, 100), help="widths of the hidden layers")
    bias: bool = prunekit.option(True, help="biases in every layer")

    def __attrs_post_init__(self) -> None:
        if min(self.hidden, default=1) < 1:
            raise prunekit.SpecError(f"hidden must be widths >= 1: {self.hidden}")

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """(batch, *input_shape) -> (batch, classes)."""
        widths = (math.prod(input_shape), *self.hidden, classes)
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Linear(inputs, outputs, bias=self.bias), nn.ReLU()]
        return nn.Sequential(*layers[:-1])


@prunekit.hookimpl
def prunekit_architectures() -> Mapping[str, type]:
    return {"mlp": MLP}
