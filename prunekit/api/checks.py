"""What `prunekit.learn` refuses or warns of before it starts, and `prune` and it after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.contracts import MaskSampler, as_built, exact, scales
from prunekit.errors import SpecError, warn
from prunekit.network.firstpass import first_pass
from prunekit.network.laws import WeightInit, first_values, padding_rows
from prunekit.network.model import Network
from prunekit.network.names import Layer
from prunekit.network.objective import Objective
from prunekit.pruning.answers import describe
from prunekit.pruning.method import LearnedMethod
from prunekit.resolve.rules import SCALED
from prunekit.selection.allocation import fixed_layers
from prunekit.selection.masks import Masks
from prunekit.selection.schedule import kept_of


def refuse_no_learning(method: LearnedMethod, epochs: int) -> None:
    """SpecError where there is nothing to choose, no step to choose in, or a scale to keep."""
    if scales(method.sampler):
        raise SpecError(SCALED)
    if method.density == 1:
        raise SpecError("density must lie in (0, 1), or no mask is learned: 1")
    if not isinstance(epochs, int) or epochs < 1:
        raise SpecError(f"epochs must be an int >= 1, or no mask is learned: {epochs!r}")


def check_weights(network: Network, init: WeightInit, seed: int, redraws: bool) -> None:
    """Say it where the weights are not those that `initialize` draws, or are 0 already.

    Raises SpecError for an init that then could not act.
    """
    padding = padding_rows(network.model)
    if not as_built(init):
        layers = network.layers.items()
        other = next((n for n, x in layers if differs(x, init, seed, padding.get(n))), None)
        text = (
            f"init and seed {seed} draw other weights than {other} has; draw them by "
            "prunekit.initialize(model, init, seed=seed)"
        )
        if other is not None and not redraws:
            raise SpecError(f"{text}, or leave init out")
        if other is not None:
            warn(f"{text}; as it is, redrawn weights only are of init")
    zeros = sum(zeros_of(w, padding.get(name)) for name, w in network.weights.items())
    if zeros > network.total / 100:
        warn(
            f"{zeros:,} of {network.total:,} weights are 0, as another learn or prune leaves them, "
            "and no mask gives them a value; prunekit.initialize(model, init) draws them anew"
        )


def to_be_learned(
    model: nn.Module, inputs: Any, objective: Objective, include: Any, exclude: Any
) -> Network:
    """The network of what `model` multiplies with, as a pass over `inputs` shows.

    SpecError for masks of its own or of torch.nn.utils.prune: learned ones would compete.
    """
    uses = first_pass(model, inputs, objective=objective)
    network = Network.of(model, include, exclude, uses=uses)
    if network.held is None:
        return network
    raise SpecError(
        "the model has masks of its own or of torch.nn.utils.prune; make them permanent first: "
        "torch.nn.utils.prune.remove(module, name), or leave its weights out by exclude"
    )


def differs(layer: Layer, init: WeightInit, seed: int, padding: int | None) -> bool:
    """Whether a layer's weights are others than the first that `init` draws, but for that row."""
    first = first_values(layer, init, seed).to(layer.parameter)
    if padding is not None:
        first[padding] = layer.parameter.detach()[padding]
    return not torch.equal(layer.parameter, first)


def zeros_of(weight: Tensor, padding: int | None) -> int:
    """How many weights are 0, those of that row left out."""
    zeros = weight == 0
    if padding is not None:
        zeros[padding] = False
    return int(torch.count_nonzero(zeros))


def warn_idle_reinit(period: int) -> None:
    """Say that a training was over before the first redraw."""
    warn(
        f"nothing was redrawn: the training is shorter than a period of {period} steps; give a "
        'smaller one: reinit={"name": ..., "period": 5}'
    )


def warn_of_counts(masks: Masks, sampler: MaskSampler, densities: Sequence[str]) -> None:
    """Say where an inexact sampler kept another share than asked, and which layers ended empty.

    A weight a layer, or 1 %, is the rounding of a rule. densities: rules; what they empty is asked.
    """
    asked = kept_of(masks.asked or 0.0, masks.total)
    if not exact(sampler) and abs(masks.kept - asked) > max(len(masks), asked / 100):
        warn(
            f"density {masks.asked:.4g} was asked, {asked:,} of {masks.total:,} weights, and "
            f"{describe(sampler)} kept {masks.kept:,}, density {masks.density:.4g}: it is inexact "
            "by its own rule",
        )
    wanted = {name for name, share in fixed_layers(densities, list(masks)).items() if not share}
    counts = masks.per_layer()
    wanted |= set(masks.survey.unreached if masks.survey else ())
    empty = [c.name for c in counts if c.total and not c.kept and c.name not in wanted]
    if empty:
        more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
        verb = "keeps" if len(empty) == 1 else "keep"
        warn(
            f"layer collapse: {', '.join(empty[:3])}{more} {verb} no weight, so nothing "
            "flows through; raise the density, or give min_per_layer=1",
        )
