"""The training loop: one for masked weights and for learned scores, on any plain nn.Module.

What differs is which tensors the optimizer owns, see owner.py. Masked weights and their momentum
are exactly zero after every step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from prunekit.draws.chance import fold
from prunekit.errors import NumericalError, SpecError
from prunekit.gpu.recorded import Recording
from prunekit.network.losses import described
from prunekit.network.objective import Batch, Objective, Outcome, counted_in
from prunekit.spec.settings import TrainSettings
from prunekit.storage.checkpoints import flat, grouped, misfit, require_fit
from prunekit.training.accuracy import EpochBatches, Pairs, autocast, numbers_of
from prunekit.training.optimizing import (
    learning_rate,
    load_optimizer,
    load_scaler,
    make_optimizer,
    optimizer_state,
    scaler_state,
)
from prunekit.training.owner import Owner
from prunekit.training.tally import EpochTally

LOOK_EVERY = 100  # steps between looks at the loss: a look waits for the device

CURES = "try a smaller train.lr, train.clip 1, some train.warmup, or train.amp none"
LOOK_FIRST = "look for NaN in the inputs and the weights"  # where the first loss is bad already


@attrs.define(eq=False)
class Training:
    """One training of what `owner` owns in `model`, resumable at any step.

    step: optimizer steps done. phase: names this training among those of a run; chance is a
    function of (seed, phase, step). objective: what is minimised; the options' label_smoothing
    is part of it. recording: one batch's pass as a CUDA graph, where asked for.
    """

    model: nn.Module
    owner: Owner
    batches: EpochBatches
    options: TrainSettings
    epochs: int
    seed: int
    phase: str
    device: torch.device
    step: int = 0
    tally: EpochTally = attrs.field(init=False)
    optimizer: torch.optim.Optimizer = attrs.field(init=False)
    scaler: torch.amp.GradScaler = attrs.field(init=False)
    forward: nn.Module = attrs.field(init=False)
    recording: Recording | None = None
    objective: Objective = attrs.field(factory=Objective)

    def __attrs_post_init__(self) -> None:
        sparse = any(getattr(module, "sparse", False) is True for module in self.model.modules())
        self.objective = attrs.evolve(self.objective, label_smoothing=self.options.label_smoothing)
        self.optimizer = make_optimizer(self.options, self.owner.trained(), sparse)
        kind = self.device.type
        self.scaler = torch.amp.GradScaler(kind, enabled=self.options.amp == "fp16")
        self.forward = self.model
        if self.options.compile:
            self.forward = torch.compile(self.model)  # type: ignore[assignment]  # it is a module
        self.tally = EpochTally.of(self.device)

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.batches) / self.options.accumulate)

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step // max(self.steps_per_epoch, 1)

    @property
    def done(self) -> bool:
        return self.step >= self.epochs * self.steps_per_epoch

    def run_epoch(self, after_step: Callable[[], None]) -> dict[str, float]:
        """Finish the current epoch, calling `after_step` after every step; loss, accuracy, lr.

        Raises NumericalError when the loss is not finite, and what `Objective.of` raises.
        """
        epoch, offset = divmod(self.step, self.steps_per_epoch)
        pairs = self.batches.epoch(epoch, offset * self.options.accumulate)
        self.model.train()
        with torch.random.fork_rng(devices=cuda_devices(self.device)):
            torch.manual_seed(fold(self.seed, "epoch", self.phase, epoch))  # a loader's shuffle
            steps = range(self.steps_per_epoch - offset)  # a loader may give more
            for _, group in zip(steps, _groups(pairs, self.options.accumulate)):
                torch.manual_seed(fold(self.seed, "step", self.phase, self.step))
                lr = self._one_step(group)
                if (self.step % LOOK_EVERY) == 0:
                    self.look()
                if self.step % self.steps_per_epoch:
                    after_step()
        if self.step < (epoch + 1) * self.steps_per_epoch:
            raise SpecError(
                f"the data end before their {len(self.batches)} batches; mend their len"
            )
        self.look()
        line = {f"train.{key}": value for key, value in self.tally.take().items()}
        self.owner.settle()
        return line | {"lr": lr} | self.owner.metrics()

    def _one_step(self, group: list[Batch]) -> float:
        """Forward, backward and update on one group of batches; returns the learning rate."""
        lr = learning_rate(self.options, self.step / self.steps_per_epoch, self.epochs)
        for settings in self.optimizer.param_groups:
            settings["lr"] = lr
        self.owner.before_step(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        for batch, share in zip(group, shares_of(group)):
            loss, counted, correct = self._backward(batch, share)
            self.tally.add(loss, counted, correct, self.step)
        self.owner.after_backward()
        self.scaler.unscale_(self.optimizer)
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.owner.trained(), self.options.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        return lr

    def _backward(self, batch: Batch, share: float | Tensor) -> tuple[Tensor, ...]:
        """Gradients of one batch, whose loss is this share of the step's; its `numbers_of`."""
        x, y = batch
        if self.options.channels_last:
            x = channels_last(x)
        if self.options.cuda_graph:
            refuse_unrecordable(x, y)
            if not (self.recording and self.recording.holds(y)):
                self.recording = Recording.of(self._forward, self.model, x, y)
            if self.recording.can_replay(x, y):
                return self.recording.replay(x, y)
        goal, loss, counted, correct = self._forward(x, y, share)
        goal.backward()
        return loss.detach(), counted, correct

    def _forward(
        self, x: Any, y: Any, share: float | Tensor = 1.0
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is differentiated, and the numbers of one batch, see `numbers_of`."""
        with autocast(self.device, self.options.amp):
            found = outcome_of(self.objective, self.forward, (x, y))
        return self.scaler.scale(found.loss * share), *numbers_of(found)

    def look(self) -> None:
        """Wait for the device and raise NumericalError if a loss was not finite."""
        step = int(self.tally.bad_step)
        if step >= 0:
            lr = learning_rate(self.options, step / self.steps_per_epoch, self.epochs)
            raise NumericalError(
                f"the loss is not finite at step {step} ({self.phase}), learning rate {lr:.4g}; "
                f"{CURES if step else f'{LOOK_FIRST}, or {CURES}'}"
            )

    def state(self) -> dict[str, Tensor]:
        """Everything but the model that a resumed training needs, as tensors."""
        named = {
            "optimizer": optimizer_state(self.optimizer),
            "scaler": scaler_state(self.scaler),
            "owner": self.owner.state(),
        }
        return {**flat(named), "totals": self.tally.totals, "step": torch.tensor(self.step)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `state` gave; StorageError for what this training cannot have given."""
        named = grouped(tensors)
        others = {key: t for key, t in tensors.items() if not key.startswith("optimizer/")}
        require_fit(others, self.state(), "training")
        step, most = int(tensors["step"]), self.epochs * self.steps_per_epoch
        if not 0 <= step <= most:
            raise misfit(f"training/step is {step}, not one of 0 to {most}")
        self.owner.load_state(named.get("owner", {}))
        load_optimizer(self.optimizer, named.get("optimizer", {}))
        load_scaler(self.scaler, named.get("scaler", {}))
        self.tally.totals.copy_(tensors["totals"])
        self.step = step


def move(model: nn.Module, device: torch.device, options: TrainSettings) -> None:
    """Move `model` to `device`, in the memory format that it will be trained in.

    Raises SpecError for a recorded graph where none can be.
    """
    check_device(device, options)
    layout = torch.channels_last if options.channels_last else torch.preserve_format
    model.to(device, memory_format=layout)  # type: ignore[call-overload]


def check_device(device: torch.device, options: TrainSettings) -> None:
    """SpecError for a recorded graph where none can be."""
    if options.cuda_graph and device.type != "cuda":
        raise SpecError(f"train.cuda_graph needs a CUDA device, not {device}; leave it out")


def cuda_devices(device: torch.device) -> list[int]:
    """The number of a CUDA device, whose generator is saved; none of another."""
    return [device.index or 0] if device.type == "cuda" else []


def channels_last(inputs: Any) -> Any:
    """Images (batch, channels, height, width) in that order of memory; the others as they are."""
    images = isinstance(inputs, Tensor) and inputs.ndim == 4
    return inputs.contiguous(memory_format=torch.channels_last) if images else inputs


def outcome_of(objective: Objective, model: nn.Module, batch: Batch) -> Outcome:
    """What a batch comes to; SpecError where batch norm is given one example, and for a loss that
    no step can change."""
    try:
        found = objective.of(model, batch)
    except SpecError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise SpecError(
            f"batch norm cannot be trained on a batch of one example: {described(batch[0])}; leave "
            "such a batch out, as drop_last=True does, or give another batch_size"
        ) from None
    if not found.loss.requires_grad:
        raise SpecError(
            "the loss depends on nothing that is trained; the forward pass and the loss must not "
            "detach, and a parameter that they use must require a gradient"
        )
    return found


def refuse_unrecordable(inputs: Any, labels: Any) -> None:
    """SpecError unless a CUDA graph can be recorded of such a batch."""
    if not isinstance(inputs, Tensor) or not isinstance(labels, Tensor):
        raise SpecError(
            "train.cuda_graph takes batches of two tensors, inputs and labels: "
            f"({type(inputs).__name__}, {type(labels).__name__}); leave it out"
        )


def shares_of(group: list[Batch]) -> list[float | Tensor]:
    """Of what counts in a step, the share of each batch; nothing waits for the device.

    Labels count unless they are -100; examples where there are none.
    """
    if len(group) == 1:
        return [1.0]
    counted = torch.stack([counted_in(labels, inputs) for inputs, labels in group])
    return [*(counted / counted.sum())]


def _groups(pairs: Pairs, size: int) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Lists of `size` batches; the last may be shorter."""
    while group := list(itertools.islice(pairs, size)):
        yield group


def train_epochs(
    training: Training, after_step: Callable[[], None] = lambda: None
) -> Iterator[dict[str, float]]:
    """Train to the end, a line of metrics for each epoch: the one loop, of runs and from Python.

    Raises what `Training.run_epoch` raises.
    """
    if training.done:  # no epoch will settle it
        training.owner.settle()
    while not training.done:
        yield training.run_epoch(after_step)
