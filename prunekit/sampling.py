"""How many weights are kept (Budget), apart from which; see select.py for the selection."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs
from torch import Tensor

from prunekit.contracts import Scores
from prunekit.errors import SpecError

Allocation = Literal["global", "layer", "erk"]


@attrs.frozen(eq=False)
class Budget:
    """How many weights a sampler keeps, and among which.

    kept: the exact total. allocation: how it is shared among layers. densities:
    "pattern=density" rules that fix some layers. min_per_layer: a floor for every layer.
    competing: bool tensors, True where a weight may be kept; None = everywhere.
    last: whether this is the last round.
    """

    kept: int
    allocation: Allocation = "global"
    densities: Sequence[str] = ()
    min_per_layer: int = 0
    competing: Mapping[str, Tensor] | None = None
    last: bool = True
