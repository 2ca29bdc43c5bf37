"""Checks of what a scorer returned: its form, finite numbers, no layer dead from the start."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prunekit.contracts import LearnedScorer
from prunekit.errors import NumericalError, PluginError
from prunekit.network.model import Network, Scores
from prunekit.network.names import parameters_of

BLOCK = 1 << 17  # scores that are still in cache when they are read again

Bounds = tuple[float, float]
"""Smallest and largest score of a tensor; NaN where one is NaN, (0, 0) of an empty one."""


def zero_and_bound(score: Tensor, competing: Tensor | None) -> Bounds:
    """Zero `score` in place where `competing` is False; its bounds, in the same pass.

    What is not finite stays so: NaN and infinity times 0 are NaN.
    """
    if not score.numel():
        return 0.0, 0.0
    flat = score.view(-1)
    blocks = flat.split(BLOCK) if score.device.type == "cpu" else [flat]
    rivals = (
        [None] * len(blocks) if competing is None else competing.reshape(-1).split(len(blocks[0]))
    )
    bounds = []
    for block, rival in zip(blocks, rivals):
        if rival is not None:
            block.mul_(rival)  # torch.where would branch: slow near density 1/2
        bounds.append(torch.stack(torch.aminmax(block)))
    low, high = torch.stack(bounds).unbind(1)
    return float(low.min()), float(high.max())


def check_bounds(
    scores: Scores,
    bounds: Mapping[str, Bounds],
    network: Network,
    owner: str,
    first_round: bool,
    competing: Mapping[str, Tensor] | None,
) -> None:
    """Check the numbers that scorer `owner` returned.

    Raises NumericalError (exit code 6) for NaN and infinity, and in the first round for a layer
    whose scores are all 0 over the weights that may compete, unless no pass reaches it. Each names
    the layer and the likely cause. Later rounds may empty a layer.
    """
    for name, weight in network.weights.items():
        if weight.numel() == 0:
            continue
        low, high = bounds[name]
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise NumericalError(_not_finite(scores[name], network, owner, name))
        dead = low == high == 0 and (competing is None or bool(competing[name].any()))
        dead = dead and not (network.survey and name in network.survey.unreached)
        if first_round and dead:
            raise NumericalError(_all_zero(network, owner, name))


def check_form(scores: Scores, network: Network, owner: str) -> None:
    """PluginError unless scorer `owner` returned one float tensor of the right shape a name."""
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
        if score.layout != torch.strided or score.is_meta:
            kind = "on the meta device" if score.is_meta else f"of layout {score.layout}"
            raise PluginError(
                f"scorer {owner} must return dense tensors that hold numbers: {name} is {kind}"
            )


def check_learned(scorer: LearnedScorer, initial: Scores, network: Network, owner: str) -> None:
    """Check what a scorer that learns starts with, and how it ranks.

    Raises what `check_form` raises, NumericalError for initial scores that are not finite, and
    PluginError for a rank through which no gradient passes or of another shape.
    """
    check_form(initial, network, owner)
    for name, score in initial.items():
        if not bool(score.isfinite().all()):
            raise NumericalError(f"scorer {owner}: initial scores of {name} are not finite")
        with torch.enable_grad():
            ranked = scorer.rank(score.detach().clone().requires_grad_())
        if not isinstance(ranked, Tensor) or ranked.shape != score.shape:
            have = tuple(ranked.shape) if isinstance(ranked, Tensor) else type(ranked).__name__
            raise PluginError(
                f"scorer {owner}: rank gives {have} for {name}; expected {tuple(score.shape)}"
            )
        if not ranked.requires_grad:
            raise PluginError(f"scorer {owner}: no gradient passes through rank; do not detach")


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
    for other, gain in parameters_of(network.model).items():
        if gain.ndim == 1 and other.endswith("weight") and not bool(gain.any()):
            return f"the zero-initialised norm gain {other}; {cure}"
    return (
        "no active path from the input through it to the output (dead units, or a layer that "
        "the forward pass does not use); check the data, or exclude it with prune.exclude"
    )
