"""The named losses: how outputs and labels meet, the loss, and how many are right.

Each is the mean over what counts. Labels are class numbers, or numbers of the outputs' shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F

from prunekit.errors import SpecError

IGNORED = -100
"""The label that `F.cross_entropy` leaves out."""

LOGITS = ("logits", "out", "sample")
"""What outputs call the tensor that a loss is of: transformers, torchvision, diffusers."""


class NamedLoss(Protocol):
    """A loss of logits and labels, given as the same kind of tensors to each method."""

    def met(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return both as the other methods take them; SpecError for shapes that do not fit."""

    def loss(self, logits: Tensor, y: Tensor, smoothing: float, reduction: str) -> Tensor:
        """Return the scalar, "mean" or "sum" over what counts."""

    def counted(self, y: Tensor) -> Tensor:
        """Return how many count, a number ()."""

    def correct(self, logits: Tensor, y: Tensor) -> Tensor | None:
        """Return how many are right, a number (); None where there is no right and wrong."""

    def check(self, logits: Tensor, y: Tensor) -> None:
        """Raise SpecError for values of labels that this loss does not take."""


@attrs.frozen
class CrossEntropy:
    """Of logits (batch, classes, ...) or (batch, ..., classes) and class numbers (batch, ...).

    Labels of -100 do not count.
    """

    def met(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if logits.ndim < 2 or max(logits.shape[1], logits.shape[-1]) < 2:
            raise SpecError(
                "the model must return logits (batch, classes) for two or more classes: "
                f"{tuple(logits.shape)}; give it an output for each class, or say loss = binary "
                "or mse"
            )
        if labels.is_floating_point() or labels.is_complex():
            raise SpecError(
                f"labels must be class numbers (int64): {labels.dtype}; say loss = mse or binary "
                "for others"
            )
        first = labels.shape == logits.shape[:1] + logits.shape[2:]
        last = labels.shape == logits.shape[:-1]
        if first and last and logits.ndim > 2:
            raise SpecError(
                f"either axis of logits {described(logits)} may be the classes for labels "
                f"{described(labels)}; give loss=, a callable on outputs and labels"
            )
        if not first and not last:
            raise SpecError(
                f"labels {described(labels)} do not fit logits {described(logits)}; give one class "
                "number (int64) for each example"
            )
        return (logits if first else logits.movedim(-1, 1)), labels.long()

    def loss(self, logits: Tensor, y: Tensor, smoothing: float, reduction: str) -> Tensor:
        return F.cross_entropy(logits, y, reduction=reduction, label_smoothing=smoothing)

    def counted(self, y: Tensor) -> Tensor:
        return (y != IGNORED).sum()

    def correct(self, logits: Tensor, y: Tensor) -> Tensor | None:
        return (logits.argmax(1) == y).sum()

    def check(self, logits: Tensor, y: Tensor) -> None:
        known = y[y != IGNORED]
        if not known.numel():
            raise SpecError(f"no label counts: every one is {IGNORED}; give some class numbers")
        low, high = int(known.min()), int(known.max())
        if low < 0 or high >= logits.shape[1]:
            raise SpecError(
                f"labels must lie in [0, {logits.shape[1]}), the model's classes: {low} to {high}"
            )


@attrs.frozen
class Binary:
    """Of logits and labels in [0, 1], each output apart; class numbers become one-hot."""

    def met(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return logits, as_targets(logits, labels)

    def loss(self, logits: Tensor, y: Tensor, smoothing: float, reduction: str) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, y, reduction=reduction)

    def counted(self, y: Tensor) -> Tensor:
        return torch.full((), y.numel(), device=y.device)

    def correct(self, logits: Tensor, y: Tensor) -> Tensor | None:
        return ((logits > 0) == (y > 0.5)).sum()

    def check(self, logits: Tensor, y: Tensor) -> None:
        check_numbers(logits, y)
        if y.numel() and not bool(((y >= 0) & (y <= 1)).all()):
            low, high = float(y.min()), float(y.max())
            raise SpecError(f"labels of loss = binary must lie in [0, 1]: {low:g} to {high:g}")


@attrs.frozen
class MeanSquaredError:
    """Of outputs and numbers of their shape; class numbers become one-hot."""

    def met(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return logits, as_targets(logits, labels)

    def loss(self, logits: Tensor, y: Tensor, smoothing: float, reduction: str) -> Tensor:
        return F.mse_loss(logits, y, reduction=reduction)

    def counted(self, y: Tensor) -> Tensor:
        return torch.full((), y.numel(), device=y.device)

    def correct(self, logits: Tensor, y: Tensor) -> Tensor | None:
        return None

    def check(self, logits: Tensor, y: Tensor) -> None:
        check_numbers(logits, y)


def check_numbers(logits: Tensor, y: Tensor) -> None:
    """SpecError for numbers that are not finite, as class numbers outside the outputs are."""
    if not bool(y.isfinite().all()):
        classes = f" in [0, {logits.shape[1]})" if logits.ndim > 1 else ""
        raise SpecError(
            f"labels must be finite numbers, or class numbers{classes}; leave such examples out"
        )


LOSSES: Mapping[str, NamedLoss] = {
    "cross-entropy": CrossEntropy(),
    "binary": Binary(),
    "mse": MeanSquaredError(),
}


def as_targets(logits: Tensor, labels: Tensor) -> Tensor:
    """Labels as numbers of the shape and dtype of `logits`, float32 for half precision.

    Axes of length 1 may be missing or more; class numbers (batch,) become one-hot rows of
    (batch, outputs). Raises SpecError for other shapes.
    """
    kind = torch.promote_types(logits.dtype, torch.float32)
    if labels.shape == logits.shape:
        return labels.to(kind)
    slim = [[size for size in t.shape[1:] if size != 1] for t in (logits, labels)]
    if slim[0] == slim[1] and logits.shape[:1] == labels.shape[:1]:
        return labels.reshape(logits.shape).to(kind)
    numbers = not (labels.is_floating_point() or labels.is_complex())
    if numbers and logits.ndim == 2 and labels.shape == logits.shape[:1]:
        count = logits.shape[1]
        rows = (labels[:, None] == torch.arange(count, device=labels.device)).to(kind)
        outside = (labels < 0) | (labels >= count)  # no row of zeros: its loss is no number
        return rows.masked_fill(outside[:, None], torch.nan)
    raise SpecError(
        f"labels {described(labels)} do not fit outputs {described(logits)}; give numbers of the "
        "outputs' shape"
    )


def logits_of(outputs: Any) -> Tensor:
    """The tensor that a named loss is of: the output, its logits, or the first of several.

    Raises SpecError where there is none.
    """
    if isinstance(outputs, Tensor):
        return outputs
    for name in LOGITS:
        found = part_of(outputs, name)
        if isinstance(found, Tensor):
            return found
    if isinstance(outputs, tuple | list) and outputs and isinstance(outputs[0], Tensor):
        return outputs[0]
    raise SpecError(
        f"the model gives a {type(outputs).__name__}; wrap it so that it gives one tensor of "
        "logits, (batch, classes), or give loss=, a callable on outputs and labels"
    )


def own_loss(outputs: Any) -> Tensor | None:
    """The loss that a model computed itself: its `loss`, the sum of a mapping of losses, or the
    first of several outputs where that is a number; None where there is none."""
    given = part_of(outputs, "loss")
    if isinstance(given, Tensor) and given.numel() == 1:
        return given.reshape(())
    if isinstance(outputs, Mapping):
        parts = [*outputs.values()]
        if parts and all(isinstance(part, Tensor) and part.ndim == 0 for part in parts):
            return torch.stack(parts).sum()
    if isinstance(outputs, tuple | list) and outputs:
        first = outputs[0]
        if isinstance(first, Tensor) and first.ndim == 0 and first.is_floating_point():
            return first
    return None


def part_of(outputs: Any, name: str) -> Any:
    """What `outputs` have under that name, as a mapping or as an object; None where nothing."""
    if isinstance(outputs, Mapping):
        return outputs.get(name)
    return getattr(outputs, name, None)


def described(value: Any) -> str:
    """Shapes and types of tensors, whatever holds them; the type of anything else."""
    if isinstance(value, Tensor) and not value.is_nested:
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {described(part)}" for name, part in value.items()) + "}"
    if isinstance(value, tuple | list) and len(value) < 5:
        return "(" + ", ".join(map(described, value)) + ")"
    return type(value).__name__


def first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def first_sizes(value: Any) -> list[int]:
    """The first sizes of tensors and lists: of `value`, or of the parts of a tuple or mapping."""
    parts = value.values() if isinstance(value, Mapping) else value
    parts = parts if isinstance(value, Mapping | tuple) else (value,)
    lists = [part for part in parts if isinstance(part, Tensor | list)]
    return [len(part) for part in lists if isinstance(part, list) or part.ndim]
