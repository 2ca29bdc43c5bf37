"""Rounds: score -> sample -> reinit, once for each density of the schedule."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from prunekit.contracts import acts, allocates, exact, own_copy, revives
from prunekit.draws.chance import generator
from prunekit.errors import PluginError
from prunekit.network.laws import Law, Redraw
from prunekit.network.model import Batch, Network, Scores, put
from prunekit.pruning.scoring import compute_scores
from prunekit.selection.budget import Allocation, Budget, Sampled
from prunekit.spec.sections import Prune


@attrs.frozen(eq=False)
class Method:
    """The components of a pruning and how its budget is shared; see `prunekit.spec.Prune`."""

    scorer: Any
    sampler: Any
    reinit: Any
    allocation: Allocation = "global"
    densities: Sequence[str] = ()
    min_per_layer: int = 0


@attrs.define(eq=False)
class Pruning:
    """What stands between two rounds.

    round: rounds done. redrawn: weights redrawn after the last round, which compete again.
    draws: int32, the round after which each weight was last redrawn, 0 = never; only names that
    were redrawn. redraws: how many redraws that were.
    scores, scale: those of the last round.
    """

    network: Network
    round: int = 0
    redraws: int = 0
    redrawn: dict[str, Tensor] = attrs.field(factory=dict)
    draws: dict[str, Tensor] = attrs.field(factory=dict)
    scores: Scores | None = None
    scale: dict[str, Tensor] | None = None

    @property
    def next_draw(self) -> int:
        """The number of a draw at which no weight has ever stood."""
        highest = (int(draws.max()) for draws in self.draws.values() if draws.numel())
        return 1 + max(self.round, *highest, 0)


def competing(pruning: Pruning, revived: bool) -> dict[str, Tensor] | None:
    """Which weights may be kept in the next round; None = all of them.

    Pruned stays pruned, unless the weight was redrawn or the method revives.
    """
    masks = pruning.network.masks
    if masks is None or revived:
        return None
    redrawn = pruning.redrawn
    return {name: m | redrawn[name] if name in redrawn else m for name, m in masks.items()}


def prune_round(
    pruning: Pruning,
    method: Method,
    kept: int,
    *,
    last: bool,
    batches: Sequence[Batch],
    seed: int,
    density: float | None = None,
) -> dict[str, Any]:
    """Score and sample once, in place: afterwards the model holds the weights under new masks.

    kept: the exact count; density: the float it was rounded from, which published rules read.

    Returns the metrics line of the round. Raises NumericalError for scores that are not finite
    and PluginError for a component that breaks its contract.
    """
    started = time.perf_counter()
    network, pruning.round = pruning.network, pruning.round + 1
    among = competing(pruning, revives(method.scorer))
    pruning.scores = None  # the next ones may take its memory
    scores = compute_scores(
        method.scorer,
        network,
        batches,
        generator(seed, "score", pruning.round),
        owner=describe(method.scorer),
        competing=among,
        first_round=pruning.round == 1,
    )
    budget = Budget(
        kept, method.allocation, method.densities, method.min_per_layer, among, last, density
    )
    sampled = sample(method.sampler, scores, budget, generator(seed, "sample", pruning.round))
    counts = check_masks(method.sampler, sampled.masks, network, budget)
    network.mask(sampled.masks, write=last or not own_copy(method.scorer))
    pruning.scores, pruning.scale, pruning.redrawn = scores, sampled.scale, {}
    return round_line(pruning, counts, time.perf_counter() - started)


def sample(sampler: Any, scores: Scores, budget: Budget, rng: torch.Generator) -> Sampled:
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


def check_budget(prune: Prune, sampler: Any, network: Network) -> None:
    """SpecError where rules, floors and density contradict each other: asked before the work."""
    if prune.density == 1 or prune.masks is not None or not allocates(sampler):
        return
    budget = budget_of(prune, network.total)
    budget.settled(network.weights, {name: w.numel() for name, w in network.weights.items()})


def budget_of(prune: Prune, total: int) -> Budget:
    """The budget of the last round, or of scores that are learned, among `total` weights."""
    density, floor = prune.density or 1.0, prune.min_per_layer or 0
    kept = round(density * total)
    return Budget(kept, prune.allocation or "global", prune.densities, floor, density=density)


def redraws_of(reinit: Any, network: Network, law: Law, rng: torch.Generator) -> dict[str, Redraw]:
    """What the reinitializer returns; PluginError for anything but redraws of maskable weights."""
    redraws = reinit.reinit(network, law, rng)
    fit = isinstance(redraws, Mapping) and all(
        name in network.weights and isinstance(redraw, Redraw) for name, redraw in redraws.items()
    )
    if not fit:
        raise PluginError(f"{describe(reinit)}.reinit must return Redraws by names of weights")
    return dict(redraws)


def check_pruned(reinit: Any, network: Network, redraws: Mapping[str, Redraw]) -> None:
    """PluginError where a kept weight is redrawn."""
    for name, redraw in redraws.items():
        if network.masks and picked(network.masks[name], redraw.where).any():
            raise PluginError(f"{describe(reinit)}.reinit redraws kept weights of {name}")


def picked(tensor: Tensor, where: Tensor) -> Tensor:
    """The elements of `tensor` at `where`: a mask of its shape, or flat positions."""
    return tensor[where] if where.dtype == torch.bool else tensor.reshape(-1)[where]


def redraw_pruned(pruning: Pruning, reinit: Any, law: Law, seed: int) -> dict[str, Tensor]:
    """Let the reinitializer act after a round; returns where it redrew (bool), by name."""
    if not acts(reinit):
        return {}
    network, number = pruning.network, pruning.round
    redraws = redraws_of(reinit, network, law.numbered(number), generator(seed, "reinit", number))
    check_pruned(reinit, network, redraws)
    pruning.redrawn = {}
    for name, redraw in redraws.items():
        network.change(name, redraw.where, redraw.values)
        weight = network.weights[name]
        draws = pruning.draws.setdefault(name, torch.zeros_like(weight, dtype=torch.int32))
        pruning.redraws += put(draws, redraw.where, number)
        pruning.redrawn[name] = draws == number
    return pruning.redrawn


def round_line(pruning: Pruning, counts: Mapping[str, int], seconds: float) -> dict[str, Any]:
    """The metrics line of the round just done, which kept `counts` weights of each layer."""
    weights, kept = pruning.network.weights, sum(counts.values())
    return {
        "kind": "round",
        "round": pruning.round,
        "kept": kept,
        "density": kept / pruning.network.total,
        "empty": [name for name, count in counts.items() if not count and weights[name].numel()],
        "redraws": pruning.redraws,
        "round_seconds": seconds,
    }


def score_stats(pruning: Pruning) -> dict[str, list[float]]:
    """Smallest, mean and largest score of each layer in the last round; [] for an empty one."""
    return {
        name: [float(s.min()), float(s.cpu().double().mean()), float(s.max())] if s.numel() else []
        for name, s in (pruning.scores or {}).items()
    }


def describe(component: Any) -> str:
    """A component's class and the module it comes from, for messages."""
    return f"{type(component).__name__} ({type(component).__module__})"


def check_masks(
    sampler: Any, masks: Mapping[str, Tensor], network: Network, budget: Budget
) -> dict[str, int]:
    """How many each mask keeps; PluginError when they break the contract, naming the sampler."""
    owner = describe(sampler)
    for name, mask in masks.items():
        shape = network.layers[name].shape
        if mask.dtype != torch.bool or mask.shape != shape:
            given = f"{mask.dtype} {tuple(mask.shape)}"
            raise PluginError(f"{owner}: the mask of {name} must be bool {tuple(shape)}: {given}")
    found = [torch.count_nonzero(mask) for mask in masks.values()]  # all before the first wait
    counts = dict(zip(masks, map(int, found)))
    kept = sum(counts.values())
    if kept != budget.kept and exact(sampler):
        raise PluginError(
            f"{owner} kept {kept} weights, asked for {budget.kept}; an inexact sampler states "
            "`exact = False`"
        )
    return counts
