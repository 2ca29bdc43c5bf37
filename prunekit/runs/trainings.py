"""The trainings of a run: those of rounds that train, and the final one."""

from __future__ import annotations

import time

import attrs

from prunekit.resolve.plan import LearnedMasks, MeasuredMasks, Plan
from prunekit.runs.batches import RunBatches
from prunekit.runs.building import Built
from prunekit.runs.journal import Journal
from prunekit.runs.rewinding import Rewinding
from prunekit.runs.state import State
from prunekit.spec.sections import DataSource
from prunekit.training.learned import LearnedScores
from prunekit.training.loop import Training, train_epochs
from prunekit.training.masked import MaskedWeights
from prunekit.training.owner import Owner


@attrs.frozen(eq=False)
class Trainings:
    """Trains the state's network; checkpoints are taken inside."""

    plan: Plan
    state: State
    built: Built
    batches: RunBatches
    journal: Journal

    def train(self, phase: str, epochs: int, source: DataSource = "real") -> None:
        """Train to the end of `phase`, recording a line and saving at each epoch."""
        state = self.state
        if state.training is None:
            state.network.write()  # rounds may have left that to us
            state.training = self.prepared(phase, epochs, source)
        training = state.training
        started = time.perf_counter()
        for line in train_epochs(training, self.after_step):
            self.journal.record(
                {"kind": "epoch", "phase": phase, "epoch": training.epoch, "step": training.step}
                | line
                | self.batches.measure(self.built.model)
                | {"epoch_seconds": time.perf_counter() - started}
            )
            self.after_step(epoch_end=True)
            started = time.perf_counter()
        training.owner.finish(state.pruning)
        state.training = None

    def stand(self) -> None:
        """Have the training that the state was stopped in, where it was.

        Raises StorageError where what a checkpoint holds of it does not fit.
        """
        state, masks = self.state, self.plan.masks
        if state.stopped is None:
            return
        if state.phase == "rounds" and isinstance(masks, MeasuredMasks):
            done = state.pruning.round
            name, epochs = f"round-{done + 1}", masks.rounds[done].epochs
            state.training = self.prepared(name, epochs, masks.trained_on)
        else:
            state.training = self.prepared("final", self.plan.training.epochs, "real")

    def prepared(self, phase: str, epochs: int, source: DataSource) -> Training:
        """The training named `phase`, standing where it was stopped, or at its first step."""
        options, seed, device = self.plan.training, self.plan.seed, self.batches.device
        batches = self.batches.training(phase, source)
        training = Training(
            self.built.model,
            self.owner(),
            batches,
            options,
            epochs,
            seed,
            phase,
            device,
            objective=self.plan.objective,
        )
        rewinding = Rewinding(self.plan, self.state)
        rewinding.check(epochs * training.steps_per_epoch)
        if self.state.stopped is not None:
            training.load_state(self.state.stopped)
            self.state.stopped = None
        else:
            rewinding.skip(training)
        return training

    def owner(self) -> Owner:
        """What the training owns: weights under the mask, or scores."""
        network, masks = self.state.network, self.plan.masks
        if not isinstance(masks, LearnedMasks):
            return MaskedWeights.of(self.built.model, network.masks or {}, self.batches.device)
        method = masks.method
        budget, law = method.budget(network), self.built.law
        parts = (method.scorer, method.sampler, budget, method.reinit, law)
        return LearnedScores.of(network, *parts, self.plan.seed)

    def after_step(self, epoch_end: bool = False) -> None:
        """Take what is rewound to, save when a checkpoint is due or a signal asks for a stop."""
        training, every = self.state.training, self.plan.training.checkpoint_every
        assert training is not None
        Rewinding(self.plan, self.state).after_step(training)
        due = training.step % every == 0 if every else epoch_end
        if due or self.journal.stopping:
            self.journal.save(self.state)
