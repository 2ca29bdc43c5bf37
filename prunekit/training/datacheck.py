"""Whether data fit a model: tried on the first batch, so that a mistake is one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.errors import PrunekitError, SpecError
from prunekit.pruning.scoring import check_labels, scoring_mode
from prunekit.training.accuracy import IGNORED, EpochBatches, autocast


@attrs.define(eq=False)
class Tried:
    """Batches, the first of which is tried on `model` before it is handed out.

    amp: the autocast of the training. input_shape: of an input in it, () for what is no tensor;
    classes: logits of each. Raises what `check_fit` raises, with the first batch.
    """

    batches: EpochBatches
    model: nn.Module
    amp: str
    fits: bool = False
    input_shape: tuple[int, ...] = ()
    classes: int = 0

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in self.batches.epoch(epoch, start):
            if not self.fits:
                self.classes = check_fit(self.model, x, y, self.amp)
                self.input_shape = tuple(x.shape[1:]) if isinstance(x, Tensor) else ()
                self.fits = True
            yield x, y


def check_fit(model: nn.Module, x: Any, y: Tensor, amp: str = "none") -> int:
    """SpecError unless `model` takes `x` and gives a logit for every class among `y` (batch,).

    Returns how many logits it gives, 0 where that is no tensor in eval mode. Labels of -100 are
    none, as `F.cross_entropy` has it. One forward pass in eval mode; the model and torch's
    generators are left as they were.
    """
    chance = torch.random.fork_rng([y.device] if y.is_cuda else [])
    with chance, scoring_mode(model), torch.no_grad(), autocast(y.device, amp):
        logits = logits_of(model, x)
        if not isinstance(logits, Tensor):
            return 0  # in eval mode a model may give anything
        if len(known := y[y != IGNORED]):
            check_labels(logits, known)
        try:
            F.cross_entropy(logits, y)
        except (RuntimeError, ValueError) as error:
            raise SpecError(
                f"labels {described(y)} do not fit logits {described(logits)} "
                f"({first_line(error)}); give one class number (int64) for each example"
            ) from None
        return logits.shape[1]


def logits_of(model: nn.Module, x: Any) -> Any:
    """`model(x)`; SpecError, with the model's own reason, where it does not take such inputs."""
    try:
        return model(x)
    except (torch.OutOfMemoryError, PrunekitError):
        raise
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        if "CUDA" in str(error):  # the machine's fault, not that of the data
            raise
        raise SpecError(
            f"the model does not take inputs {described(x)} ({first_line(error)}); give data of "
            "the shape and type that its first layer expects"
        ) from error


def described(value: Any) -> str:
    """Shape and type of a tensor; the type of anything else."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


def first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
