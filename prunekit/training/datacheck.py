"""Whether data fit a model: tried on the first batch, so that a mistake is one line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import attrs
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.network import losses
from prunekit.network.examples import two_of
from prunekit.network.model import Mode
from prunekit.network.modes import as_it_was
from prunekit.network.objective import Batch, Objective, counted_in
from prunekit.pruning.scoring import is_batch_norm, scoring_mode
from prunekit.training.accuracy import USUAL, EpochBatches, Pairs, autocast

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
    objective: Objective = attrs.field(factory=Objective)
    checked: bool = False
    input_shape: tuple[int, ...] = ()
    classes: int = 0

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Pairs:
        for x, y in self.batches.epoch(epoch, start):
            if not self.checked:
                self.classes = check_fit(self.model, x, y, self.amp, self.objective)
                self.input_shape = tuple(x.shape[1:]) if isinstance(x, Tensor) else ()
                self.checked = True
            yield x, y


def check_fit(
    model: nn.Module, x: Any, y: Any, amp: str = "none", objective: Objective = USUAL
) -> int:
    """SpecError unless `model` takes inputs `x`, and the loss what it gives with labels `y`.

    Returns how many logits an example has, 0 where there are none in eval mode. A forward pass in
    eval mode, of two examples where they do; the model and torch's generators are left as they
    were.
    """
    with looked_at(model, "eval", amp):
        return by_two(lambda two, labels: classes_of(objective, model, two, labels, x, y), x, y)


def trains_on(model: nn.Module, batch: Batch, amp: str, objective: Objective) -> bool:
    """Whether batch norm in train mode takes the batch; the model is left as it was."""
    if not any(map(is_batch_norm, model.modules())):
        return True
    with looked_at(model, "train", amp):
        try:
            objective.outputs(model, batch[0])
        except SpecError:
            return False
    return True


@contextlib.contextmanager
def looked_at(model: nn.Module, mode: Mode, amp: str) -> Iterator[None]:
    """Call the model inside, without gradients: it and torch's generators stay as they were."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    chance = torch.random.fork_rng([device] if device.type == "cuda" else [])
    cast = autocast(device, amp)
    with chance, scoring_mode(model, mode), as_it_was(model), torch.no_grad(), cast:
        yield


def by_two(check: Callable[[Any, Any], T], x: Any, y: Tensor | None) -> T:
    """`check(x, y)` of two of the examples; of all where it raises: a model may want as many.

    x: inputs (batch, ...). y: labels (batch, ...), or None.
    """
    sizes = [tensor.shape[:1] for tensor in (x, y) if isinstance(tensor, Tensor)]
    tensors = isinstance(x, Tensor) and isinstance(y, Tensor | None)
    if tensors and sizes[0] == sizes[-1] > (2,):
        with contextlib.suppress(Exception):  # anyone's forward may raise anything
            two = two_of(x)
            return check(x[two], None if y is None else y[two])
    return check(x, y)


def classes_of(
    objective: Objective, model: nn.Module, x: Any, y: Any, inputs: Any, whole: Any
) -> int:
    """How many logits `model` gives for `x`; see `check_fit`.

    y: their labels. inputs, whole: all inputs and labels of the batch, `x` and `y` among them.
    """
    outputs = objective.outputs(model, x)
    try:
        logits = losses.logits_of(outputs)
    except SpecError:
        return 0  # in eval mode a model may give anything
    if y is not whole and len(logits) != len(y):
        raise SpecError("the examples are not apart; look at all of them")  # see `by_two`
    if y is not whole:
        outputs = logits[:1].expand(len(whole), *logits.shape[1:])
    if not isinstance(whole, Tensor) or bool(counted_in(whole, outputs)):
        objective.check(outputs, whole, inputs)
    return logits.shape[1] if logits.ndim > 1 else 0
