"""What was pruned before a pruning begins: by masks that are handed in, or by zeros that stand."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prunekit.contracts import revives
from prunekit.errors import warn
from prunekit.network.laws import padding_rows
from prunekit.network.model import Network
from prunekit.network.names import Layer
from prunekit.pruning.rounds import Pruning
from prunekit.selection.schedule import kept_of

FEW = 100  # a layer was pruned earlier where more than one in so many of its weights is 0


def begun(network: Network, scorer: object, masks: Mapping[str, Tensor] | None = None) -> Pruning:
    """A pruning that goes on from `masks`; without, zeros count as pruned, with a warning.

    What `masks` prune comes back only where the scorer revives it or a reinitializer redraws it,
    and a density is still a share of all maskable weights; a weight without a mask is whole, so
    {} lets every weight compete. The model is not written yet. Raises SpecError for a mask that
    fits no weight.
    """
    before = network.fitting(masks) if masks is not None else zeros_pruned(network)
    if masks is None and before is not None:
        warn(
            f"{_zeros_said(before)}, and count as pruned earlier; hand in masks=, those of the "
            "earlier pruning, or masks={} to let all weights compete",
        )
    if before is not None:
        network.mask(before, write=False)
    return Pruning(network, alive=alive(network, scorer))


def alive(network: Network, scorer: object) -> dict[str, Tensor] | None:
    """For a scorer that revives: all but pruned weights that are 0, which cannot come back."""
    if network.masks is None or not revives(scorer):
        return None
    return {name: mask | (network.weights[name] != 0) for name, mask in network.masks.items()}


def room_of(pruning: Pruning, scorer: object) -> int:
    """How many weights may be kept in the first round."""
    among = pruning.alive if revives(scorer) else pruning.network.masks
    if among is None:
        return pruning.network.total
    return sum(int(torch.count_nonzero(mask)) for mask in among.values())


def hold_padding(pruning: Pruning, share: float) -> None:
    """Rows of padding that are 0 do not compete, where the others are enough for `share`."""
    network, blank = pruning.network, dict[str, Tensor]()
    for name, row in padding_rows(network.model).items():
        if name in network.weights and not bool(network.weights[name][row].any()):
            blank[name] = torch.ones_like(network.weights[name], dtype=torch.bool)
            blank[name][row] = False
    before = network.masks or network.fitting({})
    room = sum(int((m & blank[n] if n in blank else m).sum()) for n, m in before.items())
    if blank and room >= kept_of(share, network.total):
        network.hold(blank)
        if network.masks is not None:
            network.mask(network.masks, write=False)


def zeros_pruned(network: Network) -> dict[str, Tensor] | None:
    """Masks of the weights that are not 0, in layers that an earlier pruning left; None without.

    Such a layer has other weights too, and more than 1 % zeros: one that is 0 throughout is an
    init. What an init leaves 0 in an embedding, its padding and position 0, is not counted.
    """
    weights = network.weights
    counts = {name: torch.count_nonzero(weight) for name, weight in weights.items()}
    zeros = {name: weights[name].numel() - int(count) for name, count in counts.items()}
    found = {
        name
        for name, count in zeros.items()
        if 0 < count < weights[name].numel()
        and count - _of_init(network.layers[name], weights[name]) > weights[name].numel() / FEW
    }
    if not found:
        return None
    return {
        name: weight != 0 if name in found else torch.ones_like(weight, dtype=torch.bool)
        for name, weight in weights.items()
    }


def _of_init(layer: Layer, weight: Tensor) -> int:
    """How many zeros an init leaves: of the padding row and the first of an embedding."""
    if not isinstance(layer.module, nn.Embedding | nn.EmbeddingBag) or not len(weight):
        return 0
    rows = weight[list({0, layer.module.padding_idx or 0})]
    return rows.numel() - int(torch.count_nonzero(rows))


def warn_of_zeros(network: Network) -> None:
    """Say it where zeros stand that compete like other weights, as in a run that starts so."""
    masks = zeros_pruned(network)
    if masks is not None:
        warn(
            f"{_zeros_said(masks)}, and compete with the others, so fewer than asked may be kept "
            "that are not 0; prunekit.prune in Python goes on from masks=",
        )


def _zeros_said(masks: Mapping[str, Tensor]) -> str:
    zeros = {name: mask.numel() - int(torch.count_nonzero(mask)) for name, mask in masks.items()}
    first = next(name for name, count in zeros.items() if count)
    total = sum(mask.numel() for mask in masks.values())
    return f"{sum(zeros.values()):,} of {total:,} weights are 0 already, as in {first}"
