"""none: pruned weights keep their values, hidden by the mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs
import torch

import prunekit
from prunekit import Law, Network, Redraw


@attrs.frozen
class NoReinit:
    """Leave every weight alone."""

    acts: ClassVar[bool] = False

    def reinit(self, network: Network, law: Law, rng: torch.Generator) -> dict[str, Redraw]:
        return {}


@prunekit.hookimpl
def prunekit_reinitializers() -> Mapping[str, type]:
    return {"none": NoReinit}
