"""The same parts from Python: score and prune any model of yours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from torch import Tensor, nn

from prunekit.api.batches import batches_of_round, seen
from prunekit.api.checks import warn_of_counts
from prunekit.api.components import components_of
from prunekit.api.shares import planned
from prunekit.contracts import (
    MaskSampler,
    Reinitializer,
    Scorer,
    acts,
    allocates,
    as_built,
    learns,
    revives,
)
from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.network.choice import Choice
from prunekit.network.laws import WeightInit, apply_init, blank_padding, law_of, redraw_zeros
from prunekit.network.model import Network, Scores
from prunekit.network.names import parameters_of, refuse_hollow, unwrapped
from prunekit.network.objective import Batch, Forward, Loss, Objective
from prunekit.network.torchstate import in_own_state
from prunekit.pruning.answers import describe
from prunekit.pruning.blocked import unblocked
from prunekit.pruning.earlier import hold_padding
from prunekit.pruning.method import Method, Round, rounds_of
from prunekit.pruning.rounds import Pruning, prune_rounds
from prunekit.pruning.scoring import compute_scores
from prunekit.resolve.faults import naming_faults
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.rules import refuse_idle_period, refuse_idle_sharing
from prunekit.resolve.structure import component_from
from prunekit.resolve.suggestions import filled
from prunekit.selection.budget import Rule
from prunekit.selection.masks import Masks
from prunekit.spec.sections import Allocation, Prune, Schedule
from prunekit.spec.settings import PruneSettings
from prunekit.training.ranks import agreed, bits


@naming_faults(own_code=True)
@in_own_state
def initialize(
    model: nn.Module, init: Any, *, seed: int = 0, include: Sequence[Choice] | None = None
) -> None:
    """Draw every maskable weight of `model` from `init`, in place: those of a run of this seed.

    Norm gains that are 0 become 1, rows of padding 0 (runs draw them). include: its full names are
    drawn too. Raises SpecError for an init that draws nothing or lacks a fan-in; if ranks differ.
    """
    init = component_from("init", init, Plugins())
    if as_built(init):
        raise SpecError("this init keeps the weights that a model has; name one that draws them")
    if not 0 <= seed < 2**64:
        raise SpecError(f"a seed of weights must lie in [0, 2^64): {seed}")
    inner = unwrapped(model)
    refuse_hollow(inner)

    def drawn() -> Mapping[str, Tensor]:
        apply_init(inner, init, seed, include)
        redraw_zeros(inner, init, seed)
        blank_padding(inner)
        return parameters_of(inner)

    agreed(model, "the weights drawn", drawn, bits)


@naming_faults(own_code=True)
@in_own_state
def score(
    model: nn.Module,
    scorer: Any,
    *,
    batches: Iterable[Any] | None = None,
    input_shape: Sequence[int] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    loss: str | Loss | None = None,
    forward: Forward | None = None,
    seed: int = 0,
) -> Scores:
    """One score for every maskable weight of `model`, which is left as it was.

    scorer: a name or a component. batches, loss, forward: see `prune`; as many batches are read
    as the scorer's option `batches` says. input_shape: without the batch dimension; taken from
    the first batch when left out. masks: name -> bool tensor of the weight's shape: score the
    masked network; a pruned weight then scores 0, unless the scorer revives.
    Names are those of the model without wrappers. Each rank of DistributedDataParallel reads its
    own batches, and all must find the same scores: SpecError on every rank otherwise, also where
    one of them fails.
    Raises SpecError when the scorer needs batches, NumericalError for NaN, infinity, or a
    layer that scores 0 throughout.
    """
    scorer = filled(component_from("scorer", scorer, Plugins()), "scorer", {})
    objective, measured = Objective(loss, forward), measuring(scorer)
    network, given = seen(model, scorer, batches, input_shape, 1, objective, masks=masks)

    def scored() -> Scores:
        return compute_scores(
            measured,
            network,
            batches_of_round(measured, given, 1, 1),
            generator(seed, "score", 1),
            owner=describe(scorer),
            competing=network.held if revives(scorer) else network.masks,
            first_round=masks is None,
        )

    try:
        with unblocked(network, scorer, seed):
            return agreed(model, "scores", scored, bits)
    finally:
        network.mask(None)


@naming_faults(own_code=True)
@in_own_state
def prune(
    model: nn.Module,
    scorer: Any,
    sampler: Any = "topk",
    reinit: Any = "none",
    *,
    density: float | None = None,
    kept: int | Sequence[int] | None = None,
    rounds: int = 1,
    schedule: Schedule = "exponential",
    batches: Iterable[Any] | None = None,
    input_shape: Sequence[int] | None = None,
    include: Sequence[Choice] | None = None,
    exclude: Sequence[Choice] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    allocation: Allocation | None = None,
    densities: Sequence[str] = (),
    min_per_layer: int | None = None,
    init: Any = "default",
    loss: str | Loss | None = None,
    forward: Forward | None = None,
    seed: int = 0,
) -> Masks:
    """Prune `model` in place and return its masks.

    density: share of weights kept, in (0, 1], or kept: an exact count, or one for each round.
    batches: a list, DataLoader or iterator of `Batch`es, or of mappings with "labels": as many are
    read as the scorer's option `batches` says, the same in every round; one that reads one batch a
    round takes them in turn. input_shape: without the batch dimension. loss, forward: as in
    `train`. masks: those of an earlier pruning: what they prune stays; {} lets zeros compete.
    init: the law from which `reinit` redraws. See `Prune` for the others; the scorer suggests some.
    Names are those without wrappers. SpecError for arguments that do not fit together, and on every
    rank of DistributedDataParallel where one fails or finds other masks; a failure is undone.
    """
    (scorer, sampler, reinit, init), suggested = components_of(
        scorer=scorer, sampler=sampler, reinit=between_rounds(reinit), init=init
    )
    given = Prune(density, allocation, tuple(densities), min_per_layer)
    refuse_idle_sharing(given, sampler)
    refuse_idle_reinit(init, reinit, rounds)
    objective, chosen = Objective(loss, forward), {"include": include, "exclude": exclude}
    density = suggested.get("prune.density") if density is kept is None else density
    network, usable = seen(model, scorer, batches, input_shape, rounds, objective, **chosen)
    settings = settings_of(given, suggested, sampler, rounds)
    plan = partial(planned, network, masks, scorer, sampler, density, kept, rounds, schedule)
    pruning, shares = agreed(model, "what is kept", plan, itemgetter(1))
    if settings.allocation != "row" and not settings.densities:
        hold_padding(pruning, max(shares))
    method = Method(measuring(scorer), sampler, reinit, Rule.of(settings))
    return pruned(model, pruning, rounds_of(method, shares, schedule), usable, init, seed)


def between_rounds(reinit: Any) -> Reinitializer:
    """The component; SpecError for a period, which acts inside a training only."""
    component: Reinitializer = component_from("reinit", reinit, Plugins())
    refuse_idle_period(component)
    return component


def settings_of(
    given: Prune, suggested: dict[str, Any], sampler: MaskSampler, rounds: int
) -> PruneSettings:
    """What `prune` was told of the shares of layers, filled by what components suggest."""
    if rounds == 1 or not allocates(sampler):  # a floor is for the rounds that follow
        suggested.pop("prune.min_per_layer", None)
    return PruneSettings.of(filled(given, "prune", suggested))


def pruned(
    model: nn.Module,
    pruning: Pruning,
    rounds: Sequence[Round],
    batches: list[Batch],
    init: WeightInit,
    seed: int,
) -> Masks:
    """Carry the rounds out and multiply a sampler's scale into the weights; undone by errors.

    Also where the ranks that hold replicas of `model` do not agree.
    """
    network, method = pruning.network, rounds[-1].method
    redraws = acts(method.reinit)

    def of_round(number: int) -> list[Batch]:
        return batches_of_round(method.scorer, batches, number, len(rounds))

    def outcome() -> dict[str, Tensor]:
        if network.masks is not None:  # of an earlier pruning
            network.write()
        prune_rounds(pruning, rounds, of_round, law_of(network.model, init, seed), seed)
        redrawn = {f"{name}, redrawn": w for name, w in network.weights.items() if redraws}
        return {**(network.masks or {}), **redrawn}

    with undone_by_errors(network, redraws), unblocked(network, method.scorer, seed):
        agreed(model, "the masks found", outcome, bits)
    for name, factor in (pruning.scale or {}).items():
        network.change(name, None, network.weights[name] * factor)
    masks = Masks(network.masks or {}, rounds[-1].density, network.survey)
    warn_of_counts(masks, method.sampler, method.rule.densities)
    return masks


@contextlib.contextmanager
def undone_by_errors(network: Network, redraws: bool) -> Iterator[None]:
    """Give the model its own weights back when what happens inside, redraws or none, raises."""
    weights = network.weights
    before = {name: weight.clone() for name, weight in weights.items()} if redraws else weights
    try:
        yield
    except BaseException:
        network.weights = before
        network.mask(None)
        raise


def refuse_idle_reinit(init: WeightInit, reinit: Reinitializer, rounds: int) -> None:
    if acts(reinit) and rounds == 1:
        raise SpecError("reinit acts between rounds and there is one; choose rounds >= 2")
    if not acts(reinit) and not as_built(init):
        raise SpecError(
            "init is the law that reinit redraws from, and reinit does not act; the model's own "
            "weights are used as they are: leave init out"
        )


def measuring(scorer: Any) -> Scorer:
    """The scorer; SpecError for one that learns its scores."""
    if learns(scorer):
        raise SpecError(f"{describe(scorer)} learns its scores while training; use prunekit.learn")
    measured: Scorer = scorer
    return measured
