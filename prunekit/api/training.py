"""Training from Python: the weights of any model under masks, or scores over its random weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from prunekit.api.checks import (
    check_weights,
    refuse_no_learning,
    to_be_learned,
    warn_idle_reinit,
    warn_of_counts,
)
from prunekit.api.components import learning
from prunekit.api.learned import Learned
from prunekit.contracts import LearnedScorer, MaskSampler, Reinitializer, acts
from prunekit.data.splits import Data
from prunekit.draws.chance import fold
from prunekit.errors import SpecError, did_you_mean
from prunekit.gpu.devices import pick_device
from prunekit.network.choice import Choice
from prunekit.network.examples import ready
from prunekit.network.laws import WeightInit, law_of
from prunekit.network.matching import renamed
from prunekit.network.model import Network
from prunekit.network.names import (
    parameters_of,
    refuse_hollow,
    replicated,
    undistributed,
    unwrapped,
)
from prunekit.network.objective import Forward, Loss, Objective
from prunekit.network.torchstate import in_own_state
from prunekit.pruning.method import LearnedMethod
from prunekit.resolve.faults import naming_faults
from prunekit.resolve.filling import check_some_kept
from prunekit.resolve.rules import refuse_idle_sharing, refuse_idle_training
from prunekit.resolve.suggestions import filled
from prunekit.selection.budget import Rule
from prunekit.selection.masks import Masks
from prunekit.spec.sections import Allocation, Prune, Train
from prunekit.spec.settings import PruneSettings, TrainSettings
from prunekit.training.accuracy import evaluate
from prunekit.training.datacheck import CheckedBatches, trains_on
from prunekit.training.learned import LearnedScores, flags_restored, unpruned_by_errors
from prunekit.training.loaders import check_some, epoch_batches, example_of
from prunekit.training.loop import Training, move, train_epochs
from prunekit.training.masked import MaskedWeights
from prunekit.training.owner import Owner
from prunekit.training.ranks import agreed, awaited, check_alike, check_wrapped, rank_of

History = list[dict[str, float]]

OF_RUNS = ("bn_recalibrate", "checkpoint_every", "keep_checkpoints")
"""Options of `Train` that a whole run acts on, and a training alone does not."""


@naming_faults(own_code=True)
@in_own_state
def train(
    model: nn.Module,
    masks: Mapping[str, Tensor] | None,
    data: Any,
    *,
    test: Any = None,
    epochs: int = 1,
    seed: int = 0,
    loss: str | Loss | None = None,
    forward: Forward | None = None,
    device: str | None = None,
    **options: Any,
) -> History:
    """Train `model` in place under `masks` (None = dense); one line of metrics for each epoch.

    data, test: a prunekit `Data`, a Dataset or a DataLoader. A batch is (inputs, labels), where
    inputs may be a tuple of arguments or a mapping of named ones; or one mapping with labels.
    loss: "cross-entropy", "binary", "mse", or a callable on outputs and labels that gives a mean;
    default the loss that the model gives, else cross-entropy. forward: a callable on model and
    inputs, in place of calling the model on them. device: default where the model is. options:
    those of `prunekit.Train`, e.g. lr=0.1, optimizer="adamw". There is an accuracy where the loss
    knows right and wrong. masks may have the names of another wrapping of the model. One in
    DistributedDataParallel takes a DataLoader; its metrics are of the rank's examples. Raises
    SpecError for what does not fit, NumericalError when the loss is not finite.
    """
    objective = Objective(loss, forward)
    settings, there = _settled(model, device, epochs, options, (data, test))
    bits = Masks(renamed(Masks(masks or {}), parameters_of(model))).to(there)
    check_alike(model, {"masks": bits.digest()})
    bits.apply(model)
    owner = MaskedWeights.of(unwrapped(model), bits, there)
    return _trained(model, owner, data, test, settings, seed, there, objective)[0]


@naming_faults(own_code=True)
@in_own_state
def learn(
    model: nn.Module,
    scorer: Any,
    data: Any,
    *,
    sampler: Any = None,
    reinit: Any = "none",
    init: Any = "default",
    density: float | None = None,
    allocation: Allocation | None = None,
    densities: Sequence[str] = (),
    include: Sequence[Choice] | None = None,
    exclude: Sequence[Choice] | None = None,
    test: Any = None,
    epochs: int = 1,
    seed: int = 0,
    loss: str | Loss | None = None,
    forward: Forward | None = None,
    device: str | None = None,
    **options: Any,
) -> Learned:
    """Learn a mask over the weights of `model` as they are: `masks, history = learn(...)`.

    Afterwards the model holds weight * mask; biases, norms and whatever else it has are not trained
    and stay as they were, but for running statistics. scorer: one that learns; sampler, allocation
    and density (in (0, 1)) are those it suggests unless given. init: the law from which `reinit`
    redraws pruned weights, and that of the weights where `initialize` drew them: then what this
    returns can be saved as a ticket. data, test, loss, forward, device, options: as in `train`.
    After an error or interrupt the model holds its weights unpruned, redrawn ones as they were by
    then. Raises SpecError for what does not fit, NumericalError when the loss is not finite.
    """
    objective = Objective(loss, forward)
    (scorer, sampler, reinit, init), suggested = learning(scorer, sampler, reinit, init)
    sharing = Prune(density, allocation, tuple(densities))
    method = _method(scorer, sampler, reinit, sharing, suggested)
    refuse_no_learning(method, epochs)
    settings, there = _settled(model, device, epochs, options, (data, test))
    network = _network_of(model, data, there, objective, include, exclude)
    needed = awaited(model, network.effective)
    check_some_kept(method.density, network.total, sampler)
    check_weights(network, init, seed, acts(reinit))
    budget, law = method.budget(network), law_of(network.model, init, seed)
    with flags_restored(network.model):
        owner = LearnedScores.of(network, scorer, sampler, budget, reinit, law, seed, needed)
        with unpruned_by_errors(owner):
            history, batches = _trained(model, owner, data, test, settings, seed, there, objective)
    if owner.redraws.period and not owner.redraws.events:
        warn_idle_reinit(owner.redraws.period)
    return _learned(model, owner, init, history, batches, data)


def _network_of(
    model: nn.Module,
    data: Any,
    device: torch.device,
    objective: Objective,
    include: Sequence[Choice] | None,
    exclude: Sequence[Choice] | None,
) -> Network:
    """The network of a learning; SpecError unless the same weights are maskable on every rank."""
    bare, inputs = unwrapped(model), example_of(data, device)
    return agreed(
        model,
        "the maskable weights",
        lambda: to_be_learned(bare, inputs, objective, include, exclude),
        lambda network: " ".join(network.layers),
    )


def _method(
    scorer: LearnedScorer,
    sampler: MaskSampler,
    reinit: Reinitializer,
    given: Prune,
    suggested: Mapping[str, Any],
) -> LearnedMethod:
    """The method of a learning, with what `given` leaves open filled."""
    refuse_idle_sharing(given, sampler)
    settings = PruneSettings.of(filled(given, "prune", suggested))
    return LearnedMethod(scorer, sampler, reinit, Rule.of(settings), settings.density)


def _learned(
    model: nn.Module,
    owner: LearnedScores,
    init: WeightInit,
    history: History,
    batches: CheckedBatches,
    data: Any,
) -> Learned:
    """What `learn` returns: the same on every rank."""
    masks = Masks(owner.network.masks or {}, owner.sampler.budget.density)
    check_alike(model, {"the learned masks": masks.digest()})
    warn_of_counts(masks, owner.sampler.sampler, owner.sampler.budget.densities)
    scale = (data.mean, data.std) if isinstance(data, Data) else ((), ())
    return Learned(
        masks, history, owner.scores.tensors, owner.network.model, owner.redraws.numbers(), init,
        owner.redraws.reinit, owner.redraws.seed, batches.input_shape, batches.classes, *scale,
    )  # fmt: skip


def _settled(
    model: nn.Module,
    device: str | None,
    epochs: int,
    options: Mapping[str, Any],
    data: tuple[Any, Any],
) -> tuple[TrainSettings, torch.device]:
    """The settings of a training, and the device that the model now is on."""
    refuse_hollow(model)
    known = [field.name for field in attrs.fields(Train) if field.name not in OF_RUNS]
    for name in sorted(options.keys() - set(known)):
        if name in OF_RUNS:
            raise SpecError(f"{name} acts in prunekit.run only; leave it out")
        near = did_you_mean(name, [*known, *inspect.signature(learn).parameters])
        hint = near or f" It has {', '.join(known)}."
        raise SpecError(f"a training has no option {name!r}.{hint}")
    if "batch_size" in options and all(p is None or isinstance(p, DataLoader) for p in data):
        raise SpecError(
            "batch_size cannot act: a DataLoader makes batches of its own; leave it out"
        )
    here = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    torch_device = pick_device(device) if device is not None else here
    given = Train(epochs=epochs, **options)
    whole = filled(given, "train", {})
    refuse_idle_training(given, whole)
    settings = TrainSettings.of(whole)
    check_wrapped(model, torch_device, settings)
    move(model, torch_device, settings)
    return settings, torch_device


def _checked(
    data: Any,
    split: str,
    model: nn.Module,
    settings: TrainSettings,
    seed: int,
    device: torch.device,
    objective: Objective,
) -> CheckedBatches:
    """The batches of a split, the first of which is tried on `model`."""
    takes = partial(trains_on, model, amp=settings.amp, objective=objective)
    as_batch = partial(ready, model=model, own=objective.forward is not None)
    batches = epoch_batches(data, split, settings.batch_size, device, seed, as_batch, takes)
    return CheckedBatches(batches, model, settings.amp, objective)


def _trained(
    model: nn.Module,
    owner: Owner,
    data: Any,
    test: Any,
    settings: TrainSettings,
    seed: int,
    torch_device: torch.device,
    objective: Objective,
) -> tuple[History, CheckedBatches]:
    """Train all epochs; one line of metrics for each, and the batches.

    Under DistributedDataParallel the ranks differ in the chance of dropout and augmentation only.
    """
    if not isinstance(data, DataLoader) and replicated(model) is not None:
        raise SpecError(
            "the ranks of DistributedDataParallel share the examples out; give a DataLoader with "
            "a DistributedSampler"
        )
    bare, test = undistributed(model), data if test is None and isinstance(data, Data) else test
    looks = (bare, settings, seed, torch_device, objective)
    batches = _checked(data, "train", *looks)
    check_some(batches)
    tested = None if test is None else _checked(test, "test", *looks)
    facts = {"seed": seed, "options": settings, "the number of batches": len(batches)}
    check_alike(model, facts)
    rank = rank_of(model)
    seed = fold(seed, "rank", rank) if rank else seed
    parts = (owner, batches, settings, settings.epochs, seed, "train", torch_device)
    training = Training(model, *parts, objective=objective)
    history: History = []
    for line in train_epochs(training):
        if tested is not None:
            result = evaluate(bare, tested, torch_device, settings.amp, objective)
            line |= {f"test.{key}": value for key, value in result.items()}
        history.append({"epoch": training.epoch, **line})
    return history, batches
