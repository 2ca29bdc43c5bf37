"""The batches that a scorer is given: as many as it reads, on the device, tried on the model."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from prunekit.contracts import Scorer, batches_read, reads
from prunekit.errors import SpecError
from prunekit.network.examples import examples_in, ready
from prunekit.network.names import unwrapped
from prunekit.network.objective import Batch, Objective
from prunekit.pruning.answers import describe
from prunekit.pruning.scoring import outputs_of, scoring_mode
from prunekit.training.datacheck import as_it_was, by_two
from prunekit.training.ranks import agreed


@attrs.frozen(eq=False)
class Given:
    """What a scorer is given.

    batches: those that it reads. example: inputs that show what the model does, None without one.
    input_shape: without the batch dimension, None where it is unknown or there are several inputs.
    """

    batches: list[Batch]
    example: Any
    input_shape: tuple[int, ...] | None


def agreed_batches(
    model: nn.Module,
    objective: Objective,
    scorer: Any,
    batches: Iterable[Any] | None,
    input_shape: Sequence[int] | None,
    rounds: int,
) -> Given:
    """What `given_batches` gives; SpecError on every rank where those of one do not fit."""
    return agreed(
        model,
        "whether the batches fit",
        lambda: given_batches(unwrapped(model), objective, scorer, batches, input_shape, rounds),
        lambda _: "they do",
    )


def given_batches(
    model: nn.Module,
    objective: Objective,
    scorer: Any,
    batches: Iterable[Any] | None,
    input_shape: Sequence[int] | None,
    rounds: int,
) -> Given:
    """What the scorer reads of `batches`, on the model's device; nothing more of an iterator.

    Raises SpecError for what is no batch, and where the model does not take the first one, or an
    input of `input_shape`, and the scorer will ask it to.
    """
    items, own = read(batches, scorer, rounds), objective.forward is not None
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    found = [shaped(ready(item, model, first.device, own), input_shape) for item in items]
    shown = found[:1]
    if not found and isinstance(batches, list | tuple) and batches:
        shown = [shaped(ready(batches[0], model, first.device, own), input_shape)]
    shape = tuple(input_shape) if input_shape is not None else shape_of(shown)
    if found:
        check_first(model, objective, found[0])
    elif input_shape is not None and reads(scorer) == "one batch":
        ones = torch.ones((1, *input_shape), dtype=first.dtype, device=first.device)
        check_first(model, objective, (ones, None))
    return Given(found, shown[0][0] if shown else None, shape)


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
    found = list(itertools.islice(batches, wanted)) if wanted else []
    if reads(scorer) == "batches":
        given = len(batches) if isinstance(batches, list | tuple) else len(found)
        warn_of_others(scorer, given, wanted)
    return found


def warn_of_others(scorer: Any, given: int, wanted: int) -> None:
    """Say it where a scorer is given another number of batches than it reads."""
    if given in (0, wanted):
        return
    name, used = type(scorer).__name__, f"the first {wanted}" if given > wanted else "these"
    warnings.warn(
        f"{name} reads {wanted} batches, and {given} are given, of which {used} are used; for "
        f'others give {name}(batches={given}), or scorer={{"name": ..., "batches": {given}}}',
        stacklevel=6,
    )


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


def check_first(model: nn.Module, objective: Objective, batch: Batch) -> None:
    """SpecError where the model does not take the inputs, or the labels are of other examples.

    A forward pass in eval mode, of two examples where they do; model and torch's generators are
    left as they were.
    """
    inputs, labels = batch
    sizes = inputs.shape if isinstance(inputs, Tensor) else ()
    with torch.random.fork_rng([]), scoring_mode(model), as_it_was(model), torch.no_grad():
        if labels is None or examples_in(batch) in (None, *sizes) or not sizes:
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
