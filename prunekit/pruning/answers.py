"""What samplers and reinitializers return, held against their contracts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prunekit.contracts import MaskSampler, Reinitializer, exact
from prunekit.errors import PluginError
from prunekit.network.laws import Law, Redraw
from prunekit.network.model import Network, Scores
from prunekit.selection.budget import Budget, Sampled


def describe(component: object) -> str:
    """A component's class and the module it comes from, for messages."""
    return f"{type(component).__name__} ({type(component).__module__})"


def sample(sampler: MaskSampler, scores: Scores, budget: Budget, rng: torch.Generator) -> Sampled:
    """What the sampler returns; PluginError for anything but masks of all that was scored."""
    sampled = sampler.sample(scores, budget, rng)
    if not isinstance(sampled, Sampled):
        raise PluginError(
            f"{describe(sampler)}.sample must return prunekit.Sampled(masks): "
            f"{type(sampled).__name__}"
        )
    if list(sampled.masks) != list(scores):
        raise PluginError(
            f"{describe(sampler)} must return one mask for each scored name, in order"
        )
    return sampled


def check_masks(
    sampler: MaskSampler, masks: Mapping[str, Tensor], network: Network, budget: Budget
) -> dict[str, int]:
    """How many each mask keeps; PluginError when they break the contract, naming the sampler."""
    owner = describe(sampler)
    for name, mask in masks.items():
        shape = network.layers[name].shape
        if mask.dtype != torch.bool or mask.shape != shape:
            given = f"{mask.dtype} {tuple(mask.shape)}"
            raise PluginError(f"{owner}: the mask of {name} must be bool {tuple(shape)}: {given}")
    kept_each = [torch.count_nonzero(mask) for mask in masks.values()]  # all before the first wait
    counts = dict(zip(masks, map(int, kept_each)))
    if budget.allocation == "row" and exact(sampler):
        _check_rows(sampler, masks, budget)
    kept = sum(counts.values())
    if kept != budget.kept and exact(sampler):
        raise PluginError(
            f"{owner} kept {kept} weights, asked for {budget.kept}; an inexact sampler states "
            "`exact = False`"
        )
    return counts


def _check_rows(sampler: MaskSampler, masks: Mapping[str, Tensor], budget: Budget) -> None:
    """PluginError where rows keep other numbers than the budget says."""
    expected = budget.row_counts(dict(masks))
    for name, mask in masks.items():
        kept = torch.count_nonzero(budget.rows_of(name, mask).split(mask), dim=1)
        if kept.tolist() != expected[name].tolist():
            raise PluginError(
                f"{describe(sampler)} keeps other numbers in rows of {name} than allocation row "
                "asks for; see budget.row_counts, or choose another allocation"
            )


def redraws_of(
    reinit: Reinitializer, network: Network, law: Law, rng: torch.Generator
) -> dict[str, Redraw]:
    """What the reinitializer returns; PluginError for anything but redraws of maskable weights."""
    redraws = reinit.reinit(network, law, rng)
    fit = isinstance(redraws, Mapping) and all(
        name in network.weights and isinstance(redraw, Redraw) for name, redraw in redraws.items()
    )
    if not fit:
        raise PluginError(f"{describe(reinit)}.reinit must return Redraws by names of weights")
    return dict(redraws)


def check_pruned(reinit: Reinitializer, network: Network, redraws: Mapping[str, Redraw]) -> None:
    """PluginError where a kept weight is redrawn."""
    for name, redraw in redraws.items():
        if network.masks and picked(network.masks[name], redraw.where).any():
            raise PluginError(f"{describe(reinit)}.reinit redraws kept weights of {name}")


def picked(tensor: Tensor, where: Tensor) -> Tensor:
    """The elements of `tensor` at `where`: a mask of its shape, or flat positions."""
    return tensor[where] if where.dtype == torch.bool else tensor.reshape(-1)[where]
