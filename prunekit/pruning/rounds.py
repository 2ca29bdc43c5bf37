"""Rounds: score -> sample -> reinit, once for each density of the schedule."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs
import torch
from torch import Tensor

from prunekit.contracts import Reinitializer, acts, own_copy, revives
from prunekit.draws.chance import generator
from prunekit.errors import warn
from prunekit.network.laws import Law
from prunekit.network.model import Network, Scores, put
from prunekit.network.objective import Batch
from prunekit.pruning.alive import norms_alive
from prunekit.pruning.answers import check_masks, check_pruned, describe, redraws_of, sample
from prunekit.pruning.method import Round
from prunekit.pruning.scoring import compute_scores


@attrs.define(eq=False)
class Pruning:
    """What stands between two rounds.

    round: rounds done. redrawn: weights redrawn after the last round, which compete again.
    draws: int32, the round after which each weight was last redrawn, 0 = never; only names that
    were redrawn. redraws: how many redraws that were.
    scores, scale: those of the last round. alive: what a scorer that revives may keep; None = all.
    """

    network: Network
    round: int = 0
    redraws: int = 0
    redrawn: dict[str, Tensor] = attrs.field(factory=dict)
    draws: dict[str, Tensor] = attrs.field(factory=dict)
    scores: Scores | None = None
    scale: dict[str, Tensor] | None = None
    alive: dict[str, Tensor] | None = None

    @property
    def next_draw(self) -> int:
        """The number of a draw at which no weight has ever stood."""
        highest = (int(draws.max()) for draws in self.draws.values() if draws.numel())
        return 1 + max(self.round, *highest, 0)


def competing(pruning: Pruning, revived: bool) -> dict[str, Tensor] | None:
    """Which weights may be kept in the next round; None = all of them.

    Pruned stays pruned, unless the weight was redrawn or the method revives; what the model's own
    masks prune stays pruned always.
    """
    held = pruning.network.held
    masks = pruning.alive if revived else pruning.network.masks
    if masks is None:
        return held
    redrawn = pruning.redrawn
    among = {name: m | redrawn[name] if name in redrawn else m for name, m in masks.items()}
    return among if held is None else {name: m & held[name] for name, m in among.items()}


class Around(Protocol):
    """What goes on between the steps of a round: a run trains, rewinds, records and saves."""

    def before(self, number: int, round_: Round) -> None:
        """Before round `number` (from 1) is scored: train, where it says so."""

    def masked(self, round_: Round) -> None:
        """The masks of the round are there, nothing is redrawn yet: rewind."""

    def redrawn(self, where: Mapping[str, Tensor]) -> None:
        """Weights were redrawn, by name: bool of the weight's shape."""

    def after(self, round_: Round, line: Mapping[str, Any]) -> None:
        """The round is done; `line` is its line of metrics."""


def prune_rounds(
    pruning: Pruning,
    rounds: Sequence[Round],
    batches: Callable[[int], Sequence[Batch]],
    law: Law,
    seed: int,
    around: Around | None = None,
) -> None:
    """Carry out what is left of `rounds`: the one loop, of runs and from Python.

    batches: those that round number i (from 1) scores. law: from which weights are redrawn.
    Raises what `prune_round` raises.
    """
    for number, round_ in enumerate(rounds[pruning.round :], start=pruning.round + 1):
        if around:
            around.before(number, round_)
        line = prune_round(pruning, round_, batches(number), seed)
        if around:
            around.masked(round_)
        where = {} if round_.last else redraw_pruned(pruning, round_.method.reinit, law, seed)
        if around:
            around.redrawn(where)
            around.after(round_, {**line, "redraws": pruning.redraws})


def prune_round(
    pruning: Pruning, round_: Round, batches: Sequence[Batch], seed: int
) -> dict[str, Any]:
    """Score and sample once, in place: afterwards the model holds the weights under new masks.

    Returns the metrics line of the round. Raises NumericalError for scores that are not finite
    and PluginError for a component that breaks its contract.
    """
    started = time.perf_counter()
    network, method = pruning.network, round_.method
    pruning.round += 1
    among = competing(pruning, revives(method.scorer))
    pruning.scores = None  # the next ones may take its memory
    scores = compute_scores(
        method.scorer,
        network,
        batches,
        generator(seed, "score", pruning.round),
        owner=describe(method.scorer),
        competing=among,
        first_round=pruning.round == 1 and network.masks is None,
    )
    if method.rule.allocation == "row" and pruning.round == 1:
        warn_of_guesses(network)
    total, rows = network.total, network.rows
    budget = method.rule.budget(round_.density, total, among, round_.last, rows)
    sampled = sample(method.sampler, scores, budget, generator(seed, "sample", pruning.round))
    counts = check_masks(method.sampler, sampled.masks, network, budget)
    masks = sampled.masks
    if network.normed and sampled.scale is None:
        masks = norms_alive(network, scores, masks, among)
    network.mask(masks, write=round_.last or not own_copy(method.scorer))
    pruning.scores, pruning.scale, pruning.redrawn = scores, sampled.scale, {}
    return round_line(pruning, counts, round_.density, time.perf_counter() - started)


def warn_of_guesses(network: Network) -> None:
    """Say it where the output rows of a parameter are a guess."""
    guessed = network.guessed
    if not guessed:
        return
    more = f" and {len(guessed) - 1} more" if len(guessed) > 1 else ""
    seen = network.survey is not None and network.survey.by_use
    cure = (
        "its uses sum it along different dimensions, or along none that is told"
        if seen
        else "give batches or input_shape, so that a forward pass tells them"
    )
    warn(
        f"the output rows of {guessed[0]}{more} are not known, and allocation row takes those of "
        f"dimension 0, or of each matrix in a stack; {cure}"
    )


def redraw_pruned(
    pruning: Pruning, reinit: Reinitializer, law: Law, seed: int
) -> dict[str, Tensor]:
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


def round_line(
    pruning: Pruning, counts: Mapping[str, int], asked: float, seconds: float
) -> dict[str, Any]:
    """The metrics line of the round just done, which kept `counts` weights of each layer.

    asked: the density that the sampler was asked for; an inexact one may keep another.
    """
    weights, kept = pruning.network.weights, sum(counts.values())
    return {
        "kind": "round",
        "round": pruning.round,
        "kept": kept,
        "density": kept / pruning.network.total,
        "asked": asked,
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
