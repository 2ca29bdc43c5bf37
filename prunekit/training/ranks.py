"""Models that several processes train together: DistributedDataParallel, a rank each.

Scores, masks and redraws are functions of the seed and of gradients that are averaged over the
ranks, so every rank finds the same ones; what must agree for that is checked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from prunekit.draws.chance import fold
from prunekit.errors import SpecError
from prunekit.network.names import parameters_of, replicated
from prunekit.spec.settings import TrainSettings
from prunekit.storage.tensorfile import digest

T = TypeVar("T")


def rank_of(model: nn.Module) -> int:
    """The rank of this process among those that train `model`; 0 where there is one."""
    replica = replicated(model)
    return 0 if replica is None else distributed.get_rank(replica.process_group)


def check_alike(model: nn.Module, facts: Mapping[str, object]) -> None:
    """SpecError, on every rank, unless all that train `model` give the same text for each fact."""
    replica = replicated(model)
    if replica is None:
        return
    words = [fold(0, str(fact)) for fact in facts.values()]
    least = torch.tensor(words, device=next(model.parameters()).device)
    most = least.clone()
    distributed.all_reduce(least, distributed.ReduceOp.MIN, replica.process_group)
    distributed.all_reduce(most, distributed.ReduceOp.MAX, replica.process_group)
    for name, same in zip(facts, (least == most).tolist()):
        if not same:
            raise SpecError(f"the ranks differ in {name}; every rank must have the same")


def agreed(model: nn.Module, name: str, make: Callable[[], T], text: Callable[[T], str]) -> T:
    """What `make` gives, if its text is the same on every rank that holds a replica of `model`.

    Where `make` raises on one rank, the others are told that they differ: nobody waits for it.
    """
    if replicated(model) is None:
        return make()
    try:
        made = make()
    except BaseException:  # SystemExit of a plugin too: the others would wait
        with contextlib.suppress(SpecError):
            check_alike(model, {name: "none: it failed here"})
        raise
    check_alike(model, {name: text(made)})
    return made


def bits(tensors: Mapping[str, Tensor]) -> str:
    """A text that tells tensors of other names, types, shapes or bits apart."""
    return digest(tensors, {})


def check_wrapped(model: nn.Module, device: torch.device, options: TrainSettings) -> None:
    """SpecError for what a model that is wrapped already can no longer become, or wrapped in part.

    Outside of DistributedDataParallel no gradient is averaged, and the ranks would train apart.
    """
    replica = replicated(model)
    if replica is None:
        return
    inside = {*map(id, replica.parameters())}
    for name, parameter in parameters_of(model).items():
        if id(parameter) not in inside and parameter.requires_grad:
            raise SpecError(f"{name} is outside of DistributedDataParallel; wrap the whole model")
    if device != next(model.parameters()).device:
        raise SpecError(f"move the model to {device} before DistributedDataParallel wraps it")
    if options.cuda_graph:
        raise SpecError("train.cuda_graph does not go with DistributedDataParallel; leave it out")


def awaited(model: nn.Module, weights: Mapping[str, nn.Parameter]) -> list[nn.Parameter]:
    """The parameters whose gradients DistributedDataParallel waits for; [] for other models.

    They are those that required a gradient when it was made, and have to go on doing so. Raises
    SpecError when one of `weights` is not among them: its gradient would not be averaged.
    """
    if replicated(model) is None:
        return []
    for name, parameter in weights.items():
        if not parameter.requires_grad:
            raise SpecError(
                f"DistributedDataParallel averages no gradient of {name}, which requires none; "
                "call requires_grad_(True) on it before you wrap the model"
            )
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
