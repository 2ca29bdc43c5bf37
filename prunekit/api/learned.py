"""What `prunekit.learn` found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from torch import Tensor, nn

from prunekit.contracts import Reinitializer
from prunekit.network.laws import WeightInit
from prunekit.selection.masks import Masks


@attrs.frozen(eq=False)
class Learned:
    """What `prunekit.learn` found: unpack it (`masks, history = ...`), or save it as a ticket.

    history: one line of metrics for each epoch. scores: as they ended, by parameter, not ranked.
    model: holds weight * mask. draws: int32, by parameter, the redraw event that a weight is from,
    0 = none; {} without a reinitializer. init, reinit, seed: as `learn` was told. input_shape,
    classes, mean, std: what the model takes and gives, as far as the data said.
    """

    masks: Masks
    history: list[dict[str, float]] = attrs.field(repr=False)
    scores: Mapping[str, Tensor] = attrs.field(repr=False)
    model: nn.Module = attrs.field(repr=False)
    draws: Mapping[str, Tensor] = attrs.field(repr=False)
    init: WeightInit
    reinit: Reinitializer
    seed: int
    input_shape: tuple[int, ...]
    classes: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter((self.masks, self.history))
