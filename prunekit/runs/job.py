"""One run as a sequence of stages, each a pure function of the spec, resumable in between.

rounds: [train] -> score -> sample -> [rewind] -> reinit      final: control -> train -> report
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from prunekit.contracts import learns
from prunekit.data.splits import Batches, Data
from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.network.model import Network
from prunekit.pruning.collapse import dead_kept
from prunekit.pruning.controls import apply_control
from prunekit.pruning.rounds import (
    Method,
    Pruning,
    budget_of,
    prune_round,
    redraw_pruned,
    score_stats,
)
from prunekit.runs.batches import batches_to_score, measure, training_batches
from prunekit.runs.building import Built
from prunekit.runs.jobstate import restore_job, save_job
from prunekit.runs.signals import Stopper
from prunekit.selection.masks import Masks
from prunekit.selection.schedule import densities, rules_of_round
from prunekit.spec.sections import Spec
from prunekit.storage.runfolder import RunFolder, foreign_masks
from prunekit.training.learned import LearnedScores
from prunekit.training.loop import Training
from prunekit.training.masked import MaskedWeights
from prunekit.training.owner import Owner

CHECKPOINT_SECONDS = 30.0  # between rounds that do not train


@attrs.define(eq=False)
class Job:
    """What a run holds while it works. `phase` is "rounds", "final" or "done"."""

    spec: Spec
    folder: RunFolder
    data: Data
    built: Built
    pruning: Pruning
    observers: list[Any]
    stopper: Stopper
    device: torch.device
    phase: str = "rounds"
    trained: bool = False  # whether the current round has had its training
    seconds: float = 0.0
    rewind: dict[str, Tensor] | None = None
    score_stats: dict[str, list[float]] = attrs.field(factory=dict)
    dead: dict[str, int] = attrs.field(factory=dict)  # kept weights that nothing flows through
    passes: dict[str, Batches] = attrs.field(factory=dict)  # over the validation and test split
    training: Training | None = None
    resumed: dict[str, Tensor] | None = None
    clock: float = attrs.field(factory=time.perf_counter)
    saved_at: float = attrs.field(factory=time.perf_counter)

    @property
    def network(self) -> Network:
        return self.pruning.network

    @property
    def learned(self) -> bool:
        """Whether the training learns scores, and with them the masks."""
        return learns(self.spec.scorer)

    @property
    def masks(self) -> Masks:
        masks = self.network.masks
        if masks is None:
            masks = {
                n: torch.ones_like(w, dtype=torch.bool) for n, w in self.network.weights.items()
            }
        return Masks(masks)

    def work(self) -> None:
        """All stages from where the job stands to the end of training."""
        if self.phase == "rounds":
            self.prune()
            self.phase, self.trained = "final", False
            self.save()
        if self.phase == "final":
            if not self.learned:  # which keeps the random weights beside the effective ones
                effective = self.network.effective.items()
                self.network.weights = {name: p.detach() for name, p in effective}
            self.train("final", self.spec.train.epochs or 0, "real")
            if self.learned:
                self.score_stats = score_stats(self.pruning)
                self.finish_masks()
            self.phase = "done"

    # -- rounds ------------------------------------------------------------------------------

    def prune(self) -> None:
        """All rounds that are left, then the control."""
        spec = self.spec
        if spec.prune.masks is not None:
            self.network.mask(foreign_masks(spec.prune.masks, self.network.weights))
        elif spec.prune.density != 1 and not self.learned:
            for round_ in range(self.pruning.round + 1, (spec.rounds.count or 1) + 1):
                self.one_round(round_)
        self.finish_masks()

    def one_round(self, round_: int) -> None:
        spec, count = self.spec, self.spec.rounds.count or 1
        if spec.rounds.epochs and not self.trained:
            if self.rewind is None and spec.rounds.rewind == "init":
                weights = {name: w.clone() for name, w in self.network.weights.items()}
                self.rewind = self.tensors() | weights  # as they are before masking
            self.train(f"round-{round_}", spec.rounds.epochs, spec.rounds.data or "real")
            self.take_trained_weights()
        schedule = spec.rounds.schedule or "exponential"
        density = densities(spec.prune.density or 0.0, count, schedule)[round_ - 1]
        line = prune_round(
            self.pruning,
            self.method(round_),
            round(density * self.network.total),
            last=round_ == count,
            batches=batches_to_score(self, round_),
            seed=spec.seed,
            density=density,
        )
        if spec.rounds.epochs:
            self.rewind_weights()
        if round_ < count:
            self.redraw()
        else:
            self.score_stats = score_stats(self.pruning)
        self.record({**line, "redraws": self.pruning.redraws})
        self.trained = False
        slow = time.perf_counter() - self.saved_at > CHECKPOINT_SECONDS
        if round_ < count and (spec.rounds.epochs or slow or self.stopper.signum):
            self.save()  # after the last round `work` saves, when the masks are final

    def method(self, round_: int) -> Method:
        spec = self.spec
        count, schedule = spec.rounds.count or 1, spec.rounds.schedule or "exponential"
        return Method(
            spec.scorer,
            spec.sampler,
            spec.reinit,
            spec.prune.allocation or "global",
            rules_of_round(spec.prune.densities, round_, count, schedule),
            spec.prune.min_per_layer or 0,
        )

    def take_trained_weights(self) -> None:
        """After a training: the kept weights are the trained ones, the pruned keep their values."""
        for name, parameter in self.network.effective.items():
            masks = self.network.masks
            where = None if masks is None else masks[name]
            self.network.change(name, where, parameter.detach().clone())
        self.trained = True

    def tensors(self) -> dict[str, Tensor]:
        """A copy of every tensor of the model as it stands."""
        state = self.built.model.state_dict()
        return {key: value.detach().clone() for key, value in state.items()}

    @torch.no_grad()
    def rewind_weights(self) -> None:
        """Return to the snapshot (initial, or after rewind_step steps); rewind = lr keeps all."""
        if self.rewind is None:
            return
        for key, value in self.built.model.state_dict().items():
            value.copy_(self.rewind[key])
        for name in self.network.weights:
            self.network.change(name, None, self.rewind[name])

    def redraw(self) -> None:
        """Let the reinitializer act; a redrawn weight is redrawn in the snapshot too."""
        where = redraw_pruned(self.pruning, self.spec.reinit, self.built.law, self.spec.seed)
        for name, redrawn in where.items() if self.rewind is not None else ():
            self.rewind[name][redrawn] = self.network.weights[name][redrawn]  # type: ignore[index]

    def finish_masks(self) -> None:
        """After the last round: multiply the sketch's scale in, apply the control, free memory."""
        scale = self.pruning.scale
        for name in scale or ():
            self.network.change(name, None, self.network.weights[name] * scale[name])  # type: ignore[index]
        if self.spec.prune.control != "none" and self.network.masks is not None:
            number = self.pruning.next_draw
            masks, redrawn = apply_control(
                self.spec.prune.control,
                self.network.masks,
                self.network,
                self.built.law.numbered(number),
                generator(self.spec.seed, "control"),
                self.pruning.scores,
            )
            self.network.mask(masks)
            for name in redrawn if self.learned else ():  # no training comes after it
                self.pruning.draws[name] = torch.full_like(masks[name], number, dtype=torch.int32)
        tokens = self.data.train.images if self.data.tokens else None
        self.dead = dead_kept(self.network, generator(self.spec.seed, "dead"), tokens)
        self.pruning.scores = self.rewind = None
        self.network.memo.clear()

    # -- training ----------------------------------------------------------------------------

    def train(self, phase: str, epochs: int, source: str) -> None:
        """Train to the end of `phase`, recording a line and saving at each epoch."""
        options, device = self.spec.train, self.device
        if self.resumed is None:
            self.network.write()  # rounds may have left that to us
        batches = training_batches(self, phase, source)
        self.training = training = Training(
            self.built.model, self.owner(), batches, options, epochs, self.spec.seed, phase, device
        )
        steps, goal = epochs * training.steps_per_epoch, self.spec.rounds.rewind_step or 0
        if self.phase == "rounds" and self.rewind is None and goal >= steps:
            raise SpecError(
                f"rounds.rewind_step = {goal} is never reached; a round trains {steps} steps: "
                "raise rounds.epochs"
            )
        if self.resumed is not None:
            training.load_state(self.resumed)
            self.resumed = None
        elif self.spec.rounds.rewind == "step" and self.pruning.round:  # weights of that step
            training.step = goal
        if training.done:  # no epoch will settle it
            training.owner.settle()
        while not training.done:
            started = time.perf_counter()
            line = training.run_epoch(self.after_step)
            self.record(
                {"kind": "epoch", "phase": phase, "epoch": training.epoch, "step": training.step}
                | line
                | measure(self)
                | {"epoch_seconds": time.perf_counter() - started}
            )
            self.after_step(epoch_end=True)
        training.owner.finish(self.pruning)
        self.training = None

    def owner(self) -> Owner:
        """What the training owns: weights under the mask, or scores."""
        if not self.learned:
            return MaskedWeights.of(self.built.model, self.network.masks or {}, self.device)
        spec, law = self.spec, self.built.law
        budget = budget_of(spec.prune, self.network.total)
        return LearnedScores.of(
            self.network, spec.scorer, spec.sampler, budget, spec.reinit, law, spec.seed
        )

    def after_step(self, epoch_end: bool = False) -> None:
        """Snapshot for rewinding, checkpoint when due, stop when a signal asks for it."""
        training = self.training
        assert training is not None
        rounds, every = self.spec.rounds, self.spec.train.checkpoint_every
        waiting = rounds.rewind == "step" and self.rewind is None and self.phase == "rounds"
        if waiting and training.step == rounds.rewind_step:
            self.rewind = self.tensors()
        due = training.step % every == 0 if every else epoch_end
        if due or self.stopper.signum:
            self.save()

    # -- what is written ---------------------------------------------------------------------

    def record(self, line: Mapping[str, Any]) -> None:
        self.folder.append_metrics(line)
        for observer in self.observers:
            observer.record(line)

    def save(self) -> None:
        """Write a checkpoint; raise Interrupted afterwards when a signal came.

        Raises NumericalError instead of saving a training whose loss is not finite.
        """
        if self.training is not None:
            self.training.look()
        save_job(self)
        self.stopper.stop_if_asked(self.folder.path)

    def restore(self) -> None:
        """Stand where the newest checkpoint stood; metrics lines after it are cut."""
        restore_job(self)
