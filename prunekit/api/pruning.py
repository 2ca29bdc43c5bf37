"""The same parts from Python: score and prune any model of yours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.api.checks import warn_of_counts
from prunekit.api.components import components_of
from prunekit.api.shares import shares_of_rounds
from prunekit.contracts import (
    Reinitializer,
    Scorer,
    acts,
    allocates,
    as_built,
    learns,
    reads,
    revives,
)
from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.network.laws import WeightInit, apply_init, law_of, redraw_zeros
from prunekit.network.model import Batch, Network, Scores
from prunekit.network.names import refuse_hollow, unwrapped
from prunekit.pruning.answers import describe
from prunekit.pruning.earlier import begun, room
from prunekit.pruning.method import Method, Round, rounds_of
from prunekit.pruning.rounds import Pruning, prune_rounds
from prunekit.pruning.scoring import compute_scores, scoring_mode
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.rules import refuse_idle_period, refuse_idle_sharing
from prunekit.resolve.structure import component_from
from prunekit.resolve.suggestions import filled
from prunekit.selection.budget import Rule
from prunekit.selection.masks import Masks
from prunekit.spec.sections import Allocation, Prune, Schedule
from prunekit.spec.settings import PruneSettings
from prunekit.training.datacheck import as_it_was, by_two, logits_of
from prunekit.training.loaders import as_batches, shape_of


def initialize(
    model: nn.Module, init: Any, *, seed: int = 0, include: Sequence[str] | None = None
) -> None:
    """Draw every maskable weight of `model` from `init`, in place: those of a run of this seed.

    Norm gains that are all 0 become 1. include: patterns; what they name in full is drawn too.
    Raises SpecError for an init that draws nothing, and where it needs a fan-in that a parameter
    has not.
    """
    init = component_from("init", init, Plugins())
    if as_built(init):
        raise SpecError("this init keeps the weights that a model has; name one that draws them")
    if not 0 <= seed < 2**64:
        raise SpecError(f"a seed of weights must lie in [0, 2^64): {seed}")
    model = unwrapped(model)
    refuse_hollow(model)
    apply_init(model, init, seed, include)
    redraw_zeros(model, init, seed)


def score(
    model: nn.Module,
    scorer: Any,
    *,
    batches: Iterable[Any] | None = None,
    input_shape: Sequence[int] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> Scores:
    """One score for every maskable weight of `model`, which is left as it was.

    scorer: a name or a component. batches: (inputs, labels) pairs, all of which are used: inputs
    (batch, ...), labels (batch,) int64. input_shape: without the batch dimension; taken from the
    batches when left out. masks: name -> bool tensor of the weight's shape: score the masked
    network; a pruned weight then scores 0, unless the scorer revives.
    Raises SpecError when the scorer needs batches, NumericalError for NaN, infinity, or a
    layer that scores 0 throughout.
    """
    scorer = filled(component_from("scorer", scorer, Plugins()), "scorer", {})
    network = Network.of(unwrapped(model), masks=masks)
    try:
        usable = usable_batches(network, scorer, batches, input_shape)
        measured = measuring(scorer)
        return compute_scores(
            measured,
            network,
            batches_of_round(measured, usable, 1, 1),
            generator(seed, "score", 1),
            owner=describe(scorer),
            competing=None if revives(scorer) else network.masks,
            first_round=masks is None,
        )
    finally:
        network.mask(None)


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
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    allocation: Allocation | None = None,
    densities: Sequence[str] = (),
    min_per_layer: int | None = None,
    init: Any = "default",
    seed: int = 0,
) -> Masks:
    """Prune `model` in place and return its masks.

    density: share of weights kept, in (0, 1], or kept: an exact count, or one for each round.
    batches: (inputs, labels) pairs, inputs (batch, ...) and labels (batch,) int64; a scorer that
    reads one batch a round takes them in turn. input_shape: without the batch dimension.
    masks: of an earlier pruning, to go on from: what they prune comes back only where the scorer
    revives or `reinit` redraws it, and the density is still a share of all maskable weights; a
    weight without a mask is whole. Without masks, zeros in a layer count as pruned earlier, with a
    warning. A layer that ends empty, and an inexact sampler that keeps another share than asked,
    are warnings too. init: the law from which `reinit` redraws. See `Prune` for the other options.
    The scorer's suggestions fill density and allocation, and in several rounds min_per_layer,
    where left out. Raises SpecError for arguments that do not fit together; a pruning that fails
    is undone.
    """
    reinit = component_from("reinit", reinit, Plugins())
    refuse_idle_period(reinit)
    (scorer, sampler, reinit, init), suggested = components_of(
        scorer=scorer, sampler=sampler, reinit=reinit, init=init
    )
    given = Prune(density, allocation, tuple(densities), min_per_layer)
    refuse_idle_sharing(given, sampler)
    refuse_idle_init(init, reinit)
    network = Network.of(unwrapped(model), include, exclude)
    usable = usable_batches(network, scorer, batches, input_shape)
    if density is None and kept is None:
        density = suggested.get("prune.density")
    if rounds == 1 or not allocates(sampler):  # a floor is for the rounds that follow
        suggested.pop("prune.min_per_layer", None)
    settings = PruneSettings.of(filled(given, "prune", suggested))
    pruning = begun(network, scorer, masks, level=2)
    free = room(pruning, scorer)
    shares = shares_of_rounds(network.total, free, density, kept, rounds, schedule, sampler)
    if acts(reinit) and rounds == 1:
        raise SpecError("reinit acts between rounds and there is one; choose rounds >= 2")
    method = Method(measuring(scorer), sampler, reinit, Rule.of(settings))
    found = pruned(pruning, rounds_of(method, shares, schedule), usable, init, seed)
    warn_of_counts(found, sampler, settings.densities)
    return found


def pruned(
    pruning: Pruning, rounds: Sequence[Round], batches: list[Batch], init: WeightInit, seed: int
) -> Masks:
    """Carry the rounds out and multiply a sampler's scale into the weights; undone by errors."""
    network, method = pruning.network, rounds[0].method

    def of_round(number: int) -> list[Batch]:
        return batches_of_round(method.scorer, batches, number, len(rounds))

    with undone_by_errors(network, acts(method.reinit)):
        if network.masks is not None:
            network.write()
        prune_rounds(pruning, rounds, of_round, law_of(network.model, init, seed), seed)
    for name, factor in (pruning.scale or {}).items():
        network.change(name, None, network.weights[name] * factor)
    return Masks(network.masks or {}, rounds[-1].density)


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


def refuse_idle_init(init: WeightInit, reinit: Reinitializer) -> None:
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


def usable_batches(
    network: Network,
    scorer: Any,
    batches: Iterable[Any] | None,
    input_shape: Sequence[int] | None,
) -> list[Batch]:
    """The batches on the network's device; it knows the shape of an input then.

    Raises SpecError where its model does not take the first one and the scorer will ask it to.
    """
    pairs = as_batches(batches, input_shape, network.device)
    network.input_shape = shape_of(pairs, input_shape)
    if pairs and reads(scorer) != "nothing":
        with (
            torch.random.fork_rng([]),
            scoring_mode(network.model),
            as_it_was(network.model),
            torch.no_grad(),
        ):
            by_two(lambda x, _: logits_of(network.model, x), pairs[0][0], None)
    return pairs


def batches_of_round(scorer: Scorer, batches: list[Batch], number: int, rounds: int) -> list[Batch]:
    """What the scorer is given in round `number` (from 1) of `rounds`; [] if it reads no data."""
    kind = reads(scorer)
    if kind == "batches" and not batches:
        raise SpecError(f"{describe(scorer)} reads data; give batches=[(inputs, labels), ...]")
    if kind == "nothing":
        return []
    if kind != "one batch" or len(batches) <= 1:
        return batches
    if len(batches) < rounds:
        raise SpecError(f"{len(batches)} batches for {rounds} rounds; give one for each round")
    return [batches[number - 1]]
