"""Checks of what a scorer returned: its form, finite numbers, no layer dead from the start."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prunekit.contracts import Scores
from prunekit.errors import NumericalError, PluginError
from prunekit.network import Network


def check_scores(
    scores: Scores,
    network: Network,
    owner: str,
    first_round: bool,
    competing: Mapping[str, Tensor] | None,
) -> None:
    """Check what scorer `owner` returned, in one pass over the weights.

    Raises PluginError for wrong names, shapes or types; NumericalError (exit code 6) for NaN and
    infinity, and in the first round for a layer whose scores are all 0 over the weights that may
    compete. Each names the layer and the likely cause. Later rounds may empty a layer.
    """
    _check_form(scores, network, owner)
    for name, weight in network.weights.items():
        if weight.numel() == 0:
            continue
        low, high = (bound.item() for bound in torch.aminmax(scores[name].detach()))
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise NumericalError(_not_finite(scores[name], network, owner, name))
        if first_round and _is_dead(scores[name], low == high == 0, competing, name):
            raise NumericalError(_all_zero(network, owner, name))


def _check_form(scores: Scores, network: Network, owner: str) -> None:
    if not isinstance(scores, Mapping):
        raise PluginError(
            f"scorer {owner} must return a mapping from name to tensor: {type(scores).__name__}"
        )
    wrong = sorted(set(scores) ^ set(network.weights), key=str)
    if wrong:
        kind = "an unknown" if wrong[0] in scores else "no"
        raise PluginError(
            f"scorer {owner} returned {kind} score named {wrong[0]!r}; it must return one "
            "tensor for every name in network.weights"
        )
    for name, weight in network.weights.items():
        score = scores[name]
        if not isinstance(score, Tensor) or not score.is_floating_point():
            have = score.dtype if isinstance(score, Tensor) else type(score).__name__
            raise PluginError(
                f"scorer {owner} must return floating-point tensors: {name} is {have}"
            )
        if score.shape != weight.shape:
            raise PluginError(
                f"scorer {owner} returned shape {tuple(score.shape)} for {name}; "
                f"expected {tuple(weight.shape)}"
            )


def _is_dead(score: Tensor, zero: bool, competing: Mapping[str, Tensor] | None, name: str) -> bool:
    """Whether some weight may compete and every one that may scores 0."""
    if competing is None:
        return zero
    rivals = competing[name]
    return bool(rivals.any()) and (zero or not bool((score.detach() * rivals).any()))


def _not_finite(score: Tensor, network: Network, owner: str, name: str) -> str:
    nan, infinite = int(score.isnan().sum()), int(score.isinf().sum())
    broken = [n for n, weight in network.weights.items() if not bool(weight.isfinite().all())]
    if broken:
        cause = f"the weights of {broken[0]} are not finite"
    elif infinite or score.dtype != torch.float64:
        cause = f"overflow in {str(score.dtype).removeprefix('torch.')}; score in float64"
    else:
        cause = "inputs or activations that are not finite"
    return (
        f"scorer {owner}: {nan} NaN and {infinite} infinite of {score.numel()} scores in "
        f"{name}; likely cause: {cause}"
    )


def _all_zero(network: Network, owner: str, name: str) -> str:
    return (
        f"scorer {owner}: every score of {name} is 0, so nothing in it can be ranked; "
        f"likely cause: {_cause_of_zeros(network, name)}"
    )


def _cause_of_zeros(network: Network, name: str) -> str:
    """The first thing found that blocks all paths through a layer, and what to do."""
    cure = "initialise it with other values, or exclude the layer with prune.exclude"
    if not bool(network.weights[name].any()):
        return f"its weights are all 0; {cure}"
    for other, weight in network.weights.items():
        if weight.numel() and not bool(weight.any()):
            return f"the zero-initialised layer {other}; {cure}"
    for other, gain in network.model.named_parameters():
        if gain.ndim == 1 and other.endswith("weight") and not bool(gain.any()):
            return f"the zero-initialised norm gain {other}; {cure}"
    return (
        "no active path from the input through it to the output (dead units, or a layer that "
        "the forward pass does not use); check the data, or exclude it with prune.exclude"
    )
