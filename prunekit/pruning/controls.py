"""Sanity controls on a final mask: does a claim rest on which weights it keeps, or on their values?

Su et al., NeurIPS 2020, arXiv 2009.11094, and Frankle et al., ICLR 2021, arXiv 2009.08576:
masks found at initialization often train as well when they are shuffled inside each layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import torch
from torch import Tensor

from prunekit.errors import SpecError
from prunekit.network.laws import Law
from prunekit.network.model import Network, Scores
from prunekit.selection.select import top_k_each


@attrs.frozen(eq=False)
class Controlled:
    """What a control is given: the final masks, what they were made from, and chance."""

    masks: Mapping[str, Tensor]
    network: Network
    law: Law
    rng: torch.Generator
    scores: Scores | None


def apply_control(
    name: str,
    masks: Mapping[str, Tensor],
    network: Network,
    law: Law,
    rng: torch.Generator,
    scores: Scores | None = None,
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The masks to train with, and the names of the parameters whose weights were redrawn.

    name: one of `CONTROLS`. Every control keeps the number of weights in each layer. The given
    masks stay as they are; `redraw` changes the weights of `network` in place and no mask, the
    others change masks and no weight. `rng` is a CPU generator. `scores`, those of the last
    round, are read by `invert` only. Raises SpecError for an unknown name or missing scores.
    """
    if name not in CONTROLS:
        raise SpecError(f"no control is named {name!r}; choose from {', '.join(CONTROLS)}")
    return CONTROLS[name](Controlled(masks, network, law, rng, scores))


Answer = tuple[dict[str, Tensor], tuple[str, ...]]


def none(given: Controlled) -> Answer:
    """Nothing changes."""
    return dict(given.masks), ()


def shuffle(given: Controlled) -> Answer:
    """Permute the entries of each layer's mask."""
    return {name: _shuffled(mask, given.rng) for name, mask in given.masks.items()}, ()


def redraw(given: Controlled) -> Answer:
    """Keep the masks and draw every maskable weight anew from its layer's init distribution."""
    for name in given.masks:
        given.network.change(name, None, given.law(name, given.rng))
    return dict(given.masks), tuple(given.masks)


def random_layerwise(given: Controlled) -> Answer:
    """Keep as many in each layer, at places drawn uniformly (the law of `shuffle`, other draws)."""
    fresh = {}
    for name, mask in given.masks.items():
        scores = torch.rand(mask.shape, generator=given.rng, dtype=torch.float64)
        fresh[name] = top_k_each({name: scores}, _kept({name: mask}))[name].to(mask.device)
    return fresh, ()


def invert(given: Controlled) -> Answer:
    """Keep as many in each layer, those with the lowest scores; of equal ones the first.

    What does not compete in the last round has score 0 and counts with the others.
    """
    if given.scores is None:
        raise SpecError("control invert needs scores and these masks come without; choose another")
    lowest = {name: -given.scores[name] for name in given.masks}
    return top_k_each(lowest, _kept(given.masks)), ()


CONTROLS: Mapping[str, Callable[[Controlled], Answer]] = {
    "none": none,
    "shuffle": shuffle,
    "redraw": redraw,
    "random-layerwise": random_layerwise,
    "invert": invert,
}


def _shuffled(mask: Tensor, rng: torch.Generator) -> Tensor:
    order = torch.randperm(mask.numel(), generator=rng).to(mask.device)
    return mask.reshape(-1)[order].reshape(mask.shape)


def _kept(masks: Mapping[str, Tensor]) -> dict[str, int]:
    return {name: int(torch.count_nonzero(mask)) for name, mask in masks.items()}
