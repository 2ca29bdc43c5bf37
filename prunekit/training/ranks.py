"""Models that several processes train together: DistributedDataParallel, a rank each.

Scores, masks and redraws are functions of the seed and of gradients that are averaged over the
ranks, so every rank finds the same ones; what must agree for that is checked.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from prunekit.draws.chance import fold
from prunekit.errors import SpecError
from prunekit.spec.settings import TrainSettings


def rank_of(model: nn.Module) -> int:
    """The rank of this process among those that train `model`; 0 where there is one."""
    if not isinstance(model, DistributedDataParallel):
        return 0
    return distributed.get_rank(model.process_group)


def check_alike(model: nn.Module, facts: Mapping[str, object]) -> None:
    """SpecError, on every rank, unless all that train `model` give the same text for each fact."""
    if not isinstance(model, DistributedDataParallel):
        return
    words = [fold(0, str(fact)) for fact in facts.values()]
    least = torch.tensor(words, device=next(model.parameters()).device)
    most = least.clone()
    distributed.all_reduce(least, distributed.ReduceOp.MIN, model.process_group)
    distributed.all_reduce(most, distributed.ReduceOp.MAX, model.process_group)
    for name, same in zip(facts, (least == most).tolist()):
        if not same:
            raise SpecError(f"the ranks differ in {name}; every rank must have the same")


def check_wrapped(model: nn.Module, device: torch.device, options: TrainSettings) -> None:
    """SpecError for what a model that is wrapped already can no longer become."""
    if not isinstance(model, DistributedDataParallel):
        return
    if device != next(model.parameters()).device:
        raise SpecError(f"move the model to {device} before DistributedDataParallel wraps it")
    if options.cuda_graph:
        raise SpecError("train.cuda_graph does not go with DistributedDataParallel; leave it out")


def awaited(model: nn.Module, weights: Mapping[str, nn.Parameter]) -> list[nn.Parameter]:
    """The parameters whose gradients DistributedDataParallel waits for; [] for other models.

    They are those that required a gradient when it was made, and have to go on doing so. Raises
    SpecError when one of `weights` is not among them: its gradient would not be averaged.
    """
    if not isinstance(model, DistributedDataParallel):
        return []
    for name, parameter in weights.items():
        if not parameter.requires_grad:
            raise SpecError(
                f"DistributedDataParallel averages no gradient of {name}, which requires none; "
                "call requires_grad_(True) on it before you wrap the model"
            )
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
