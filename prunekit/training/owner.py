"""What the loop (loop.py) asks of whatever owns the tensors that a training changes.

There are two owners: weights under a fixed mask (masked.py) and scores over frozen weights
(learned.py). The loop calls, and a run at the end, in this order:

    trained | (before_step, forward and backward passes, after_backward)*, settle, metrics | finish
    once    | every step                                     at the end of an epoch        | once
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from prunekit.pruning.rounds import Pruning


class Owner(Protocol):
    """Owns the tensors that the optimizer trains, and what the model computes with in a step."""

    def trained(self) -> list[nn.Parameter]:
        """The parameters of the optimizer, in the order in which it saves what it remembers.

        The same ones at every call: the optimizer is made of them, and gradients are clipped by
        their norm.
        """

    def before_step(self, step: int) -> None:
        """Called before the forward passes of the 0-based optimizer step `step` of this training.

        Afterwards the model's parameters are the effective weights of the step. A function of
        what is owned, the seed and `step`: a resumed training repeats it to the same bits.
        """

    def after_backward(self) -> None:
        """Called when `.grad` of the model's parameters is the gradient of the whole step.

        That of all accumulated batches, in nats per unit of the parameter, times the scale of
        fp16 where there is one. Afterwards each of `trained()` that is to move has its own
        gradient, of the same scale, and nothing else that the model holds keeps one it needs.
        """

    def settle(self) -> None:
        """Called at the end of each epoch, and where no step is left.

        Afterwards the model is what is evaluated and saved, masks included. Raises NumericalError
        where what is trained is not finite.
        """

    def metrics(self) -> dict[str, Any]:
        """What the owner adds to the metrics line of an epoch, after `settle`: counts and shares.

        May wait for the device.
        """

    def finish(self, pruning: Pruning) -> None:
        """Called by a run, once, after the last epoch: hand `pruning` what training decided."""

    def state(self) -> dict[str, Tensor]:
        """Name -> tensor: all that `load_state` needs, beyond what the model and optimizer hold."""

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Stand where `state` was taken; KeyError for a tensor that is missing.

        Called before the first step of a resumed training, when weights and masks are back.
        """
