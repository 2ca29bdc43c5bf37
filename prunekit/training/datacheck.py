"""Whether data fit a model: tried on the first batch, so that a mistake is one line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.errors import PrunekitError, SpecError
from prunekit.pruning.scoring import check_labels, scoring_mode
from prunekit.training.accuracy import IGNORED, EpochBatches, autocast

T = TypeVar("T")


@attrs.define(eq=False)
class CheckedBatches:
    """Batches, the first of which is tried on `model` before it is handed out.

    amp: the autocast of the training. input_shape: of an input in it, () for what is no tensor;
    classes: logits of each. Raises what `check_fit` raises, with the first batch.
    """

    batches: EpochBatches
    model: nn.Module
    amp: str
    checked: bool = False
    input_shape: tuple[int, ...] = ()
    classes: int = 0

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in self.batches.epoch(epoch, start):
            if not self.checked:
                self.classes = check_fit(self.model, x, y, self.amp)
                self.input_shape = tuple(x.shape[1:]) if isinstance(x, Tensor) else ()
                self.checked = True
            yield x, y


def check_fit(model: nn.Module, x: Any, y: Tensor, amp: str = "none") -> int:
    """SpecError unless `model` takes `x` and gives a logit for every class among `y` (batch,).

    Returns how many logits it gives, 0 where that is no tensor in eval mode. Labels of -100 are
    none, as `F.cross_entropy` has it. A forward pass in eval mode, of two examples where they do;
    the model and torch's generators are left as they were.
    """
    known = y[y != IGNORED]
    chance = torch.random.fork_rng([y.device] if y.is_cuda else [])
    with chance, scoring_mode(model), torch.no_grad(), autocast(y.device, amp):
        return by_two(lambda x, y: classes_of(model, x, y, known), x, y)


def by_two(check: Callable[[Any, Any], T], x: Any, y: Tensor | None) -> T:
    """`check(x, y)` of two of the examples; of all where it raises: a model may want as many.

    x: inputs (batch, ...). y: labels (batch, ...), or None.
    """
    if isinstance(x, Tensor) and x.shape[:1] > (2,) and (y is None or x.shape[:1] == y.shape[:1]):
        with contextlib.suppress(Exception):  # anyone's forward may raise anything
            two = two_of(x)
            return check(x[two], None if y is None else y[two])
    return check(x, y)


def two_of(x: Tensor) -> Tensor:
    """Indices of two examples of `x` (batch, ...), the first ones; int64 (2,).

    Of integers, those with the smallest and the largest: an embedding refuses its inputs by them.
    """
    if x.is_floating_point() or x.is_complex():
        return torch.arange(2, device=x.device)
    rows = x.reshape(len(x), -1)
    return torch.stack([rows.amin(1).argmin(), rows.amax(1).argmax()])


def classes_of(model: nn.Module, x: Any, y: Tensor, known: Tensor) -> int:
    """How many logits `model` gives for `x`, 0 where that is no tensor; see `check_fit`.

    y: their labels. known: all labels of the batch that must be among the classes.
    """
    logits = logits_of(model, x)
    if not isinstance(logits, Tensor):
        return 0  # in eval mode a model may give anything
    if len(known):
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
