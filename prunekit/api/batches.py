"""The batches that a scorer is given: as many as it reads, on the device, tried on the model."""

from __future__ import annotations

import contextlib
import itertools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from prunekit.contracts import Scorer, batches_read, reads
from prunekit.errors import SpecError, warn
from prunekit.network.examples import examples_in, ready
from prunekit.network.firstpass import first_pass
from prunekit.network.losses import described
from prunekit.network.model import Network
from prunekit.network.modes import unwritten
from prunekit.network.names import refuse_hollow, unwrapped
from prunekit.network.objective import Batch, Objective
from prunekit.network.taint import Use
from prunekit.pruning.answers import describe
from prunekit.pruning.scoring import outputs_of, scoring_mode
from prunekit.training.datacheck import by_two
from prunekit.training.loaders import example_of
from prunekit.training.ranks import agreed


def seen(
    model: nn.Module,
    scorer: Any,
    batches: Iterable[Any] | None,
    input_shape: Sequence[int] | None,
    rounds: int,
    objective: Objective,
    **chosen: Any,
) -> tuple[Network, list[Batch]]:
    """The network of what `model` multiplies with, as a forward pass shows, and its batches.

    chosen: include, exclude and masks, for `Network.of`. Raises what `given_batches` raises, on
    every rank where the batches of one do not fit, and what `Network.of` raises.
    """
    check_shape(input_shape)
    inner = unwrapped(model)
    refuse_hollow(inner)
    bare = Network(inner, {}, {n: p.detach() for n, p in inner.named_parameters()})
    bare.objective = objective
    found, uses = agreed(
        model,
        "whether the batches fit",
        lambda: given_batches(bare, scorer, batches, input_shape, rounds),
        lambda _: "they do",
    )
    network = agreed(
        model,
        "what is maskable",
        lambda: Network.of(inner, input_shape=bare.input_shape, uses=uses, **chosen),
        lambda network: " ".join(network.layers),
    )
    network.objective = objective
    return network, found


def check_shape(input_shape: Any) -> None:
    """SpecError unless it is None or the sizes of an input."""
    try:
        sizes = input_shape is None or all(operator.index(size) > 0 for size in input_shape)
    except TypeError:
        sizes = False
    if not sizes:
        raise SpecError(
            "input_shape must be the sizes of one input without the batch, as (12,) or "
            f"(3, 32, 32): {input_shape!r}"
        )


def first_inputs(network: Network, batches: Any) -> Any:
    """Inputs that the scorer does not read, where they can be had without taking any away."""
    if isinstance(batches, DataLoader):
        return example_of(batches, network.device)
    if not isinstance(batches, list | tuple) or not batches:
        return None
    with contextlib.suppress(SpecError):  # a scorer that reads nothing takes anything
        own = network.objective.forward is not None
        return ready(batches[0], network.model, network.device, own)[0]
    return None


def given_batches(
    network: Network,
    scorer: Any,
    batches: Iterable[Any] | None,
    input_shape: Sequence[int] | None,
    rounds: int,
) -> tuple[list[Batch], dict[str, Use] | None]:
    """What the scorer reads of `batches`, on the network's device, and what a pass shows of it.

    The network knows an input's shape then. Nothing more is taken from an iterator. Raises
    SpecError for what is no batch, and where the model does not take the first one, or an input
    of `input_shape`, and the scorer will ask it to.
    """
    items = read(batches, scorer, rounds)
    own = network.objective.forward is not None
    found = [shaped(ready(item, network.model, network.device, own), input_shape) for item in items]
    network.input_shape = tuple(input_shape) if input_shape is not None else shape_of(found)
    if not found and isinstance(batches, list | tuple) and batches and input_shape is None:
        network.input_shape = shape_of([ready(batches[0], network.model, None, own)])
    first = found[0][0] if found else first_inputs(network, batches)
    uses = first_pass(network.model, first, network.input_shape, network.objective)
    if found and (uses is None or not fits(found[0])):
        check_first(network, found[0])
    elif not found and input_shape is not None and reads(scorer) == "one batch":
        kinds = (w.dtype for w in network.weights.values() if w.is_floating_point())
        kind = next(kinds, torch.float32)
        ones = torch.ones((1, *input_shape), dtype=kind, device=network.device)
        check_first(network, (ones, None))
    return found, uses


def read(batches: Iterable[Any] | None, scorer: Any, rounds: int) -> list[Any]:
    """As many of `batches` as the scorer reads in `rounds` rounds, and not one more.

    Says it where a list has more than the scorer's `batches`, and where there are fewer. Raises
    SpecError for what holds no batches.
    """
    if batches is None:
        return []
    if isinstance(batches, Dataset) and not isinstance(batches, IterableDataset):
        raise SpecError(
            f"batches must be batches, and a {type(batches).__name__} holds examples; give "
            "DataLoader(dataset, batch_size=...)"
        )
    if isinstance(batches, Tensor | Mapping | str) or not isinstance(batches, Iterable):
        raise SpecError(
            "batches must be a list of (inputs, labels) pairs, and this is one "
            f"{type(batches).__name__}; put what is a batch in a list"
        )
    wanted = rounds if reads(scorer) == "one batch" else batches_read(scorer)
    if wanted and isinstance(batches, list | tuple) and is_one(batches):
        raise SpecError(
            f"batches must be a list of batches, and this is one, {described(tuple(batches))}; "
            "write batches=[(inputs, labels)]"
        )
    found = list(itertools.islice(batches, wanted)) if wanted else []
    if reads(scorer) == "batches":
        given = len(batches) if isinstance(batches, list | tuple) else len(found)
        warn_of_others(scorer, given, wanted)
    return found


def is_one(batches: Sequence[Any]) -> bool:
    """Whether what should be batches is one batch: its inputs, and last its labels."""
    if len(batches) < 2 or not isinstance(batches[-1], Tensor):
        return False
    first, labels = batches[0], batches[-1]
    if not isinstance(first, Tensor):  # with labels, and the last without
        return isinstance(first, Mapping | tuple | list)
    if any(not isinstance(part, Tensor) or part.shape[:1] != labels.shape[:1] for part in batches):
        return False
    if (first.ndim, first.dtype) != (labels.ndim, labels.dtype):
        return True
    return labels.shape != first.shape and labels.shape[1:].numel() == 1  # a number of each


def warn_of_others(scorer: Any, given: int, wanted: int) -> None:
    """Say it where a scorer is given another number of batches than it reads."""
    name = f"{type(scorer).__name__}(batches={wanted})"
    if given > wanted:
        warn(
            f"{given} batches are given, and {name} reads the first {wanted} only; for all of them "
            f'give scorer={{"name": ..., "batches": {given}}}, or the object with batches={given}'
        )
    elif 0 < given < wanted:
        warn(f"{name} is given {given} of its batches and uses these")


def shaped(batch: Batch, input_shape: Sequence[int] | None) -> Batch:
    """The batch, of one example where its input has the shape of one."""
    inputs, labels = batch
    one = isinstance(inputs, Tensor) and input_shape is not None
    if one and tuple(inputs.shape) == tuple(input_shape or ()):
        return inputs.unsqueeze(0), labels
    return batch


def shape_of(batches: list[Batch]) -> tuple[int, ...] | None:
    """The shape of an input without the batch dimension; None where it has several, or another."""
    if not batches or not isinstance(batches[0][0], Tensor):
        return None
    inputs, labels = batches[0]
    first = labels is None or examples_in(batches[0]) in inputs.shape[:1]
    return tuple(inputs.shape[1:]) if first else None


def fits(batch: Batch) -> bool:
    """Whether labels are of as many examples as inputs, as far as their shapes show."""
    inputs, labels = batch
    sizes = inputs.shape if isinstance(inputs, Tensor) else ()
    return labels is None or not sizes or examples_in(batch) in (None, *sizes)


def check_first(network: Network, batch: Batch) -> None:
    """SpecError where the model does not take the inputs, or the labels are of other examples.

    A forward pass in eval mode, of two examples where they do; model and torch's generators are
    left as they were.
    """
    inputs, labels = batch
    model, objective = network.model, network.objective
    with torch.random.fork_rng([]), scoring_mode(model), unwritten(model), torch.no_grad():
        if fits(batch):
            by_two(lambda x, _: outputs_of(objective, model, x), inputs, None)
        else:
            objective.check(outputs_of(objective, model, inputs), labels)


def batches_of_round(scorer: Scorer, batches: list[Batch], number: int, rounds: int) -> list[Batch]:
    """What the scorer is given in round `number` (from 1) of `rounds`; [] if it reads no data.

    Those that read "batches" are given the same ones in every round.
    """
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
