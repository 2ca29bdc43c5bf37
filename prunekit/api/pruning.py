"""The same parts from Python: score, prune and train any model of yours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor, nn

from prunekit.contracts import acts, allocates, as_built, learns, reads, revives, suggests
from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.network.laws import apply_init, law_of, redraw_zeros
from prunekit.network.layers import refuse_hollow, unwrapped
from prunekit.network.model import Batch, Network, Scores
from prunekit.pruning.rounds import Method, Pruning, describe, prune_round, redraw_pruned
from prunekit.pruning.scoring import compute_scores, scoring_mode
from prunekit.resolve.filling import PERIOD, filled, refuse_idle
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import component_from
from prunekit.selection.budget import Allocation
from prunekit.selection.masks import Masks
from prunekit.selection.schedule import densities as densities_of
from prunekit.selection.schedule import kept_counts, rules_of_round
from prunekit.spec.sections import COMPONENTS, Prune, Spec
from prunekit.training.datacheck import logits_of


def component(kind: str, name: str, **options: Any) -> Any:
    """A component by kind ("scorer", "sampler", ...) and name, with its options.

    Raises PluginError for an unknown name, SpecError for a wrong kind, option or value.
    """
    if kind not in COMPONENTS:
        raise SpecError(f"no component is of kind {kind!r}; kinds are {', '.join(COMPONENTS)}")
    return component_from(kind, {"name": name, **options}, Plugins())


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

    scorer: a name or a component. batches: (inputs, labels) pairs, all of which are used.
    input_shape: without the batch dimension; taken from the batches when left out. masks: score
    the masked network; a pruned weight then scores 0, unless the scorer revives.
    Raises SpecError when the scorer needs batches, NumericalError for NaN, infinity, or a
    layer that scores 0 throughout.
    """
    scorer = filled(component_from("scorer", scorer, Plugins()), "scorer", {})
    network = Network.of(unwrapped(model), masks=masks)
    try:
        given = tried(network, scorer, batches, input_shape)
        return compute_scores(
            scorer,
            network,
            batches_of_round(scorer, given, 1, 1),
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
    schedule: Literal["exponential", "linear"] = "exponential",
    batches: Iterable[Any] | None = None,
    input_shape: Sequence[int] | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    allocation: Allocation | None = None,
    densities: Sequence[str] = (),
    min_per_layer: int | None = None,
    init: Any = "default",
    seed: int = 0,
) -> Masks:
    """Prune `model` in place and return its masks.

    density: share of weights kept, in (0, 1], or kept: an exact count, or one for each round.
    batches: (inputs, labels) pairs; a scorer that reads one batch a round takes them in turn.
    init: the law from which `reinit` redraws. See `Prune` for the other options. The scorer's
    suggestions fill density and allocation, and in several rounds min_per_layer, where left out.
    Raises SpecError for arguments that do not fit together; a pruning that fails is undone.
    """
    reinit = without_period(reinit)
    (scorer, sampler, reinit, init), suggested = components_of(
        scorer=scorer, sampler=sampler, reinit=reinit, init=init
    )
    refuse_idle_prune(Prune(density, allocation, tuple(densities), min_per_layer), sampler)
    refuse_idle_init(init, reinit)
    model = unwrapped(model)
    network = Network.of(model, include, exclude)
    given = tried(network, scorer, batches, input_shape)
    if density is None and kept is None:
        density = suggested.get("prune.density")
    counts = counts_of_rounds(network.total, density, kept, rounds, schedule)
    if acts(reinit) and rounds == 1:
        raise SpecError("reinit acts between rounds and there is one; choose rounds >= 2")
    allocation = allocation or suggested.get("prune.allocation", "global")
    if min_per_layer is None and rounds > 1 and allocates(sampler):
        min_per_layer = suggested.get("prune.min_per_layer")
    shares = [None] * rounds if density is None else densities_of(density, rounds, schedule)
    pruning, law = Pruning(network), law_of(model, init, seed)
    with undone_by_errors(network, acts(reinit)):
        for number, (count, share) in enumerate(zip(counts, shares), start=1):
            chosen = batches_of_round(scorer, given, number, rounds)
            last, rules = number == rounds, rules_of_round(densities, number, rounds, schedule)
            method = Method(scorer, sampler, reinit, allocation, rules, min_per_layer or 0)
            prune_round(pruning, method, count, last=last, batches=chosen, seed=seed, density=share)
            if not last:
                redraw_pruned(pruning, reinit, law, seed)
    for name, factor in (pruning.scale or {}).items():
        network.change(name, None, network.weights[name] * factor)
    assert network.masks is not None
    return Masks(network.masks)


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


def refuse_idle_prune(options: Prune, sampler: Any) -> None:
    """SpecError for an option that cannot act with this sampler."""
    given = Spec(sampler=sampler, prune=options)
    refuse_idle(given, given, "prune.")


def refuse_idle_init(init: Any, reinit: Any) -> None:
    if not acts(reinit) and not as_built(init):
        raise SpecError(
            "init is the law that reinit redraws from, and reinit does not act; the model's own "
            "weights are used as they are: leave init out"
        )


def without_period(reinit: Any) -> Any:
    """The component; SpecError for a period, which acts inside training only."""
    reinit = component_from("reinit", reinit, Plugins())
    if getattr(reinit, "period", None) is not None:  # not yet filled, so it was given
        raise SpecError(f"reinit.period = {reinit.period!r} cannot act: {PERIOD}")
    return reinit


def components_of(**given: Any) -> tuple[list[Any], dict[str, Any]]:
    """The components of `given` (kind -> name or object), filled, and what they suggest."""
    plugins, suggested = Plugins(), dict[str, Any]()
    parts = [component_from(kind, value, plugins) for kind, value in given.items()]
    for part in reversed(parts):  # the first counts first
        suggested |= suggests(part)
    return [filled(part, kind, suggested) for kind, part in zip(given, parts)], suggested


def counts_of_rounds(
    total: int,
    density: float | None,
    kept: int | Sequence[int] | None,
    rounds: int,
    schedule: Literal["exponential", "linear"],
) -> list[int]:
    """How many of `total` weights each round keeps."""
    if (density is None) == (kept is None):
        raise SpecError("give density, the share of weights kept, or kept, a count: one of them")
    if not isinstance(rounds, int) or rounds < 1:
        raise SpecError(f"rounds must be an int >= 1: {rounds!r}")
    if density is not None:
        counts = kept_counts(total, density, rounds, schedule)
    elif isinstance(kept, Integral):
        shares = kept_counts(total, min(max(kept, 1) / total, 1.0), rounds, schedule)
        counts = [*shares[:-1], kept]
    elif isinstance(kept, Sequence):
        counts = [*kept]
    else:
        raise SpecError(f"kept must be an int, or one int for each round: {kept!r}")
    if len(counts) != rounds:
        raise SpecError(f"kept has {len(counts)} counts for {rounds} rounds; give one each")
    for count in counts:
        if not isinstance(count, Integral) or not 0 < count <= total:
            raise SpecError(f"kept must lie in [1, {total}], the maskable weights: {count!r}")
    return [int(count) for count in counts]


def tried(
    network: Network,
    scorer: Any,
    batches: Iterable[Any] | None,
    input_shape: Sequence[int] | None,
) -> list[Batch]:
    """The batches on the network's device; it knows the shape of an input then.

    Raises SpecError where its model does not take the first one and the scorer will ask it to.
    """
    given = as_batches(batches, input_shape, network.device)
    network.input_shape = shape_of(given, input_shape)
    if given and reads(scorer) != "nothing":
        with torch.random.fork_rng([]), scoring_mode(network.model), torch.no_grad():
            logits_of(network.model, given[0][0])
    return given


def as_batches(
    batches: Iterable[Any] | None, input_shape: Sequence[int] | None, device: torch.device
) -> list[Batch]:
    """(inputs, labels) pairs on `device`; a bare tensor has no labels."""
    if isinstance(batches, Tensor):
        raise SpecError(
            "batches must be a list of (inputs, labels) pairs; put the tensor in a list"
        )
    pairs = []
    for item in batches or ():
        x, y = (item, None) if isinstance(item, Tensor) else pair_of(item)
        if not isinstance(x, Tensor) or not isinstance(y, Tensor | None):
            kinds = f"({type(x).__name__}, {type(y).__name__})"
            raise SpecError(f"a batch must be a pair of tensors, as a DataLoader gives: {kinds}")
        if input_shape is not None and tuple(x.shape) == tuple(input_shape):
            x = x.unsqueeze(0)
        pairs.append((x.to(device), None if y is None else y.to(device)))
    return pairs


def pair_of(batch: Any) -> tuple[Tensor, Tensor]:
    """Inputs and labels; SpecError for a batch that is no pair."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise SpecError(f"a batch must be a pair (inputs, labels): {type(batch).__name__}")
    return batch[0], batch[1]


def shape_of(batches: list[Batch], input_shape: Sequence[int] | None) -> tuple[int, ...] | None:
    if input_shape is not None:
        return tuple(input_shape)
    return tuple(batches[0][0].shape[1:]) if batches else None


def batches_of_round(scorer: Any, given: list[Batch], number: int, rounds: int) -> list[Batch]:
    """What the scorer is given in round `number` (from 1) of `rounds`; [] if it reads no data."""
    if learns(scorer):
        raise SpecError(f"{describe(scorer)} learns its scores while training; use prunekit.learn")
    kind = reads(scorer)
    if kind == "batches" and not given:
        raise SpecError(f"{describe(scorer)} reads data; give batches=[(inputs, labels), ...]")
    if kind == "nothing":
        return []
    if kind != "one batch" or len(given) <= 1:
        return given
    if len(given) < rounds:
        raise SpecError(f"{len(given)} batches for {rounds} rounds; give one for each round")
    return [given[number - 1]]
