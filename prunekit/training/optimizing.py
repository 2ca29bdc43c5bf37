"""Which optimizer trains, how its learning rate falls, and its state as named tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.spec.settings import TrainSettings
from prunekit.storage.checkpoints import misfit, require_fit

FUSED = ("cpu", "cuda")
"""Devices where one kernel updates parameter and momentum, in one pass over memory."""


def learning_rate(options: TrainSettings, progress: float, epochs: int) -> float:
    """The rate after `progress` epochs (a fraction within an epoch) of `epochs`.

    Linear warm-up over w = `options.warmup` epochs, then cosine to 0, or lr * gamma^k after the
    k-th milestone (a share of the epochs), or constant; the last f = `final_epochs` at `final_lr`.
    With rate_per = epoch it is set once before each epoch e: lr (e + 1) / w while warming up, then
    lr (1 + cos(pi (e - w) / (E - w - f))) / 2 for cosine, E = `epochs`.
    """
    lr, warmup = options.lr, options.warmup
    by_epoch = options.rate_per == "epoch"
    progress = math.floor(progress + 1e-9) if by_epoch else progress
    epochs = epochs - options.final_epochs
    if options.final_epochs and progress >= epochs:
        return options.final_lr
    if progress < warmup:
        return lr * (progress + by_epoch) / warmup
    if options.schedule == "cosine":
        share = (progress - warmup) / max(epochs - warmup, 1e-12)
        return lr * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    if options.schedule == "step":
        passed = sum(progress >= share * epochs for share in options.milestones)
        return float(lr * options.gamma**passed)
    return lr


def make_optimizer(
    options: TrainSettings, parameters: list[nn.Parameter], sparse: bool = False
) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW as the options say.

    torch's fused SGD counts a step that the scaler of fp16 skips as the first one, and never
    writes the momentum that it allocated; so under fp16 it is not fused. sparse: whether some
    gradients may be, as an embedding with `sparse=True` gives; these it refuses. Raises SpecError
    for no parameter.
    """
    if not parameters:
        raise SpecError(
            "no parameter of the model requires a gradient, so there is nothing to train; call "
            "requires_grad_(True) on what shall be"
        )
    lr, decay = options.lr, options.weight_decay
    if options.optimizer == "sgd":
        fused = not sparse and all(map(can_be_fused, parameters))
        return torch.optim.SGD(
            parameters,
            lr=lr,
            momentum=options.momentum,
            nesterov=options.nesterov,
            weight_decay=decay,
            fused=fused and options.amp != "fp16",
        )
    makers = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return makers[options.optimizer](parameters, lr=lr, weight_decay=decay)


def lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Let what an optimizer remembers of a weight lie in memory as the weight does.

    Files are row-major; the fused SGD takes memory as it comes.
    """
    for parameter, entry in optimizer.state.items():
        for key, value in entry.items():
            if value.ndim and value.shape == parameter.shape:
                entry[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimizer remembers, as `INDEX/NAME`: of its parameter of that index."""
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, entry in optimizer.state_dict()["state"].items()
        for name, value in entry.items()
        if value is not None
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Remember what `optimizer_state` gave; StorageError for what this one cannot have given."""
    require_fit(tensors, _rememberable(optimizer), "training/optimizer", some=True)
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition("/")
        entries.setdefault(int(index), {})[name] = value
    for number, entry in entries.items():
        if lost := sorted(_moments(optimizer).keys() - entry.keys()):
            raise misfit(f"training/optimizer/{number}/{lost[0]} is not there")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": entries, "param_groups": groups})
    lay_out(optimizer)


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, bool]:
    """What it remembers of a parameter that has had a gradient; whether of the same shape."""
    if isinstance(optimizer, torch.optim.SGD):
        return {"momentum_buffer": True} if optimizer.param_groups[0]["momentum"] else {}
    return {"exp_avg": True, "exp_avg_sq": True, "step": False}


def _rememberable(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All that `optimizer_state` can give, as tensors without elements."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    step = torch.empty((), device="meta", dtype=torch.float32)
    return {
        f"{index}/{name}": torch.empty_like(parameter, device="meta") if alike else step
        for index, parameter in enumerate(parameters)
        for name, alike in _moments(optimizer).items()
    }


def scaler_state(scaler: torch.amp.GradScaler) -> dict[str, Tensor]:
    """The numbers of the gradient scaler of fp16; {} where it is not enabled."""
    return {name: torch.tensor(value) for name, value in scaler.state_dict().items()}


def load_scaler(scaler: torch.amp.GradScaler, tensors: Mapping[str, Tensor]) -> None:
    """Take what `scaler_state` gave."""
    if tensors:
        scaler.load_state_dict({name: value.item() for name, value in tensors.items()})


def can_be_fused(parameter: nn.Parameter) -> bool:
    """Whether torch's fused SGD may have it: it takes memory as it comes, gaps and all."""
    dense: bool = torch.ops.aten.is_non_overlapping_and_dense(parameter)
    return parameter.device.type in FUSED and parameter.is_floating_point() and dense
