"""Where a batch becomes a loss: how a model is called on it, what is minimised, what counts.

Scoring, training, learning, evaluation and the conformance kit all go through `Objective`.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from prunekit.errors import PrunekitError, SpecError, out_of_memory
from prunekit.network.copies import copied
from prunekit.network.losses import (
    IGNORED,
    LOSSES,
    NamedLoss,
    described,
    first_line,
    first_sizes,
    logits_of,
    own_loss,
)
from prunekit.network.names import unwrapped

Batch = tuple[Any, Any]
"""Inputs and labels of some examples; labels are None where there are none.

Inputs are a tensor (batch, ...); or a tuple: the model's arguments; or a mapping: its keyword
arguments, the labels among them where the model reads them.
"""

Forward = Callable[[nn.Module, Any], Any]
"""(model, inputs) -> outputs."""

Loss = Callable[[Any, Any], Tensor]
"""(outputs, labels) -> scalar, the mean over what counts."""


def batch_of(item: Any) -> Batch:
    """The (inputs, labels) of what a loader gives.

    A tensor has no labels; a mapping has its "labels"; of a tuple or list the last is the labels
    and what is before them the inputs, a tuple where there are several. Raises SpecError for
    anything else.
    """
    if isinstance(item, Tensor):
        return item, None
    if isinstance(item, Mapping):
        return dict(item), item.get("labels")
    if not isinstance(item, tuple | list) or not item:
        raise SpecError(
            "a batch must be a pair (inputs, labels), a mapping of keyword arguments, or a tensor: "
            f"{type(item).__name__}"
        )
    *inputs, labels = item if len(item) > 1 else (*item, None)
    return (inputs[0] if len(inputs) == 1 else tuple(inputs)), labels


@attrs.frozen(eq=False)
class Outcome:
    """What one batch came to.

    loss: scalar, the mean over what counts (or its sum, where asked for). outputs: what the model
    gave. counted: number () of labels or examples that count. correct: number () of those that
    are right; None where the loss knows no right and wrong.
    """

    loss: Tensor
    outputs: Any
    counted: Tensor
    correct: Tensor | None


@attrs.frozen(eq=False)
class Objective:
    """How a model is called on a batch, and the loss that it comes to.

    loss: a name of `LOSSES`; a callable on outputs and labels; None = the model's own `loss` where
    its output has one, else cross-entropy. forward: a callable on model and inputs; None = the
    model is called on them. label_smoothing: of cross-entropy. temperature: what the logits of a
    named loss are divided by.
    """

    loss: str | Loss | None = None
    forward: Forward | None = None
    label_smoothing: float = 0.0
    temperature: float = 1.0

    def __attrs_post_init__(self) -> None:
        if isinstance(self.loss, str) and self.loss not in LOSSES:
            raise SpecError(
                f"no loss is named {self.loss!r}; choose from {', '.join(LOSSES)}, or give a "
                "callable on outputs and labels"
            )
        loss = None if isinstance(self.loss, str) else self.loss
        for name, value in (("loss", loss), ("forward", self.forward)):
            if value is not None and not callable(value):
                raise SpecError(f"{name} must be a callable: {type(value).__name__}")
        if self.label_smoothing and self.loss not in (None, "cross-entropy"):
            raise SpecError("label_smoothing acts on cross-entropy only; leave it out")

    def outputs(self, model: nn.Module, inputs: Any) -> Any:
        """What `model` gives for `inputs`, which stay as they are, whatever it writes to them.

        SpecError, with its own reason, where it refuses.
        """
        return self._called_on(model, copied(inputs))

    def _called_on(self, model: nn.Module, inputs: Any) -> Any:
        with in_one_line("the model does not take inputs {}", TAKEN, inputs):
            if self.forward is not None:
                return self.forward(model, inputs)
            args, named = arguments_of(model, inputs)
            return model(*args, **named)

    def of(self, model: nn.Module, batch: Batch) -> Outcome:
        """What a batch comes to, which the model may write to. Raises SpecError for inputs that
        the model does not take, and outputs that the loss does not take; see `check` for labels."""
        inputs, labels = batch
        return self.outcome(self._called_on(model, inputs), labels)

    def outcome(self, outputs: Any, labels: Any, total: bool = False) -> Outcome:
        """The loss of `outputs`; total: its sum over what counts instead of the mean.

        Nothing waits for the device. Raises SpecError where there is no loss.
        """
        value = self._called(outputs, labels) if callable(self.loss) else self._own(outputs)
        if value is None:
            return self._named(outputs, labels, total)
        if self.label_smoothing:
            raise SpecError(
                "label_smoothing cannot act: the model computes its own loss; leave it out, or say "
                'loss="cross-entropy"'
            )
        if self.temperature != 1:
            raise SpecError(
                "temperature divides the logits of a named loss, and this loss is a callable or "
                "the model's own; give temperature=1"
            )
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise SpecError(f"loss must return one number, a mean: {described(value)}")
        counted = counted_in(labels, outputs)
        value = value.reshape(())
        return Outcome(
            value * counted if total else value, outputs, counted, right(outputs, labels)
        )

    def _own(self, outputs: Any) -> Tensor | None:
        """The loss that the model computed, where no other is named."""
        return None if self.loss else own_loss(outputs)

    def _called(self, outputs: Any, labels: Any) -> Any:
        """What the callable gives; SpecError, with its own reason, where it refuses."""
        with in_one_line("loss does not take outputs {} and labels {}", MEANT, outputs, labels):
            return self.loss(outputs, labels)  # type: ignore[operator, misc]

    def _named(self, outputs: Any, labels: Any, total: bool) -> Outcome:
        loss, logits, y = self._met(outputs, labels)
        if self.temperature != 1:
            logits = logits / self.temperature
        if total:
            logits = logits.float()  # a sum over many pixels is too large for float16
        try:
            value = loss.loss(logits, y, self.label_smoothing, "sum" if total else "mean")
        except IndexError:  # on a CPU, of a label that is no class
            loss.check(logits, y)
            raise
        return Outcome(value, outputs, loss.counted(y), loss.correct(logits, y))

    def _met(self, outputs: Any, labels: Any) -> tuple[NamedLoss, Tensor, Tensor]:
        """The named loss, and logits and labels as it takes them."""
        if not isinstance(labels, Tensor):
            if labels is not None:
                raise SpecError(
                    "several labels, or labels that are no tensor, need a loss of their own; give "
                    f"loss=, a callable on outputs and labels: {described(labels)}"
                )
            raise SpecError(
                "a loss needs labels; give batches=[(inputs, labels), ...], mappings with "
                "labels, or loss=, a callable on outputs and labels"
            )
        loss = LOSSES[self.loss if isinstance(self.loss, str) else "cross-entropy"]
        return loss, *loss.met(logits_of(outputs), labels)

    def check(self, outputs: Any, labels: Any, inputs: Any = None) -> None:
        """SpecError unless a named loss takes such `labels`; waits for the device.

        inputs: those of the batch. Labels of a sequence may not be the very inputs: each would be
        predicted from itself. Of a pair, a loss that is named takes them.
        """
        if callable(self.loss) or self._own(outputs) is not None:
            return
        loss, logits, y = self._met(outputs, labels)
        loss.check(logits, y)
        refused = self.loss is None or isinstance(inputs, Mapping)
        if refused and y.ndim == 2 and is_in(labels, inputs):
            cure = "shift them, give a mapping with labels to a model that has a loss of its own"
            named = "shift them, or leave loss= out where the model has a loss of its own"
            pair = "" if isinstance(inputs, Mapping) else ', or say loss="cross-entropy"'
            raise SpecError(
                f"the labels {described(labels)} are the inputs, so each token is predicted from "
                f"itself; {named if self.loss else cure + pair}"
            )

    def classes(self, outputs: Any, labels: Any) -> tuple[Tensor, Tensor]:
        """Logits (batch, classes, ...) and class numbers (batch, ...), whatever the loss is.

        Raises SpecError for others; waits for the device.
        """
        numbered = Objective("cross-entropy")
        numbered.check(outputs, labels)
        _, logits, y = numbered._met(outputs, labels)
        return logits, y


TAKEN = "give data of the shape and type that its first layer expects, or forward="
MEANT = "give a callable on both that returns a mean"


@contextlib.contextmanager
def in_one_line(refusal: str, cure: str, *values: Any) -> Iterator[None]:
    """What a user's callable raises inside becomes a SpecError: `refusal` of `values`, its reason.

    A machine's faults, and what prunekit raises, stay what they are.
    """
    try:
        yield
    except PrunekitError:
        raise
    except (
        RuntimeError, ValueError, LookupError, AssertionError, TypeError, AttributeError,
    ) as error:  # fmt: skip
        if "CUDA" in str(error) or out_of_memory(error):  # the machine's fault, not the data's
            raise
        text = refusal.format(*map(described, values))
        raise SpecError(f"{text} ({first_line(error)}); {cure}") from error


def is_in(labels: Tensor, inputs: Any) -> bool:
    """Whether the labels that count are, entry by entry, those of one of the inputs."""
    if isinstance(inputs, Mapping):
        inputs = tuple(part for name, part in inputs.items() if name != "labels")
    if isinstance(inputs, tuple | list):
        return any(is_in(labels, part) for part in inputs)
    if not isinstance(inputs, Tensor) or inputs.is_floating_point():
        return False
    if inputs is labels or inputs.shape != labels.shape:
        return inputs is labels
    told = labels[labels != IGNORED]  # labels of one kind may be those of a mask by chance
    one_kind = len(told) < labels.numel() and len(told.unique()) < 2
    return not one_kind and torch.equal(inputs[labels != IGNORED], told)


def counted_in(labels: Any, outputs: Any) -> Tensor:
    """How many labels count, or examples where they are no class numbers; a number ()."""
    if isinstance(labels, Tensor) and labels.ndim and not labels.is_floating_point():
        return (labels != IGNORED).sum()
    sizes = [*first_sizes(labels), *first_sizes(outputs), 1]
    return torch.tensor(sizes[0])


def right(outputs: Any, labels: Any) -> Tensor | None:
    """How many class numbers (batch,) are those of the largest logits; None for other labels."""
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.ndim != 1:
        return None
    try:
        logits = logits_of(outputs)
    except SpecError:
        return None
    fits = logits.ndim == 2 and len(logits) == len(labels) and logits.shape[1] > 1
    return (logits.argmax(1) == labels).sum() if fits else None


def arguments_of(model: nn.Module, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that `inputs` are for `model`: labels only where its forward takes them."""
    if isinstance(inputs, tuple) and not isinstance(inputs, PackedSequence):
        return inputs, {}
    if not isinstance(inputs, Mapping):
        return (inputs,), {}
    named = dict(inputs)
    if "labels" in named and not takes_keyword(model, "labels"):
        del named["labels"]
    return (), named


def takes_keyword(model: nn.Module, name: str) -> bool:
    """Whether the forward of `model` has an argument of that name, or takes any."""
    parameters: Iterable[inspect.Parameter]
    parameters = inspect.signature(unwrapped(model).forward).parameters.values()
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)
