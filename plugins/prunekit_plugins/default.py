"""default: the weights that the architecture draws itself.

A redraw takes the layer's own law: what `reset_parameters` (`_reset_parameters` of attention)
draws, e.g. Kaiming uniform with a = sqrt(5), U(-1/sqrt(fan_in), 1/sqrt(fan_in)), for torch's
Linear and Conv, N(0, 1) for Embedding. An architecture that overwrites these values as it is
built (timm, torchvision) starts with other values than a redraw gives.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar

import attrs
import torch
from torch import Tensor

import prunekit
from prunekit import Layer

RESETS = ("reset_parameters", "_reset_parameters")


@attrs.frozen
class Default:
    """Keep what the architecture drew; redraw by the layer's own `reset_parameters`."""

    as_built: ClassVar[bool] = True

    def draw(self, layer: Layer, rng: torch.Generator) -> Tensor:
        """Fresh values by the layer's law; SpecError naming the layer where it has none."""
        module = copy.deepcopy(layer.module).to("cpu", torch.float32)
        reset = next((name for name in RESETS if callable(getattr(module, name, None))), None)
        if reset is None:
            kind = type(module).__name__
            raise prunekit.SpecError(
                f"{layer.name} cannot be redrawn: its {kind} has no reset_parameters; "
                "choose --init kaiming-normal"
            )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(_seed_from(rng))
            getattr(module, reset)()
        return getattr(module, layer.name.rpartition(".")[2]).detach()


def _seed_from(rng: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=rng))


@prunekit.hookimpl
def prunekit_inits() -> Mapping[str, type]:
    return {"default": Default}
