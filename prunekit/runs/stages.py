"""The stages of a run, each a function of plan and state, resumable in between.

rounds: [train] -> score -> sample -> [rewind] -> reinit      final: control -> train
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from prunekit.draws.chance import generator
from prunekit.pruning.collapse import dead_kept
from prunekit.pruning.controls import apply_control
from prunekit.pruning.earlier import warn_of_zeros
from prunekit.pruning.method import Round
from prunekit.pruning.rounds import prune_rounds, score_stats
from prunekit.resolve.plan import GivenMasks, LearnedMasks, MeasuredMasks, Plan
from prunekit.runs.batches import RunBatches
from prunekit.runs.building import Built
from prunekit.runs.journal import Journal
from prunekit.runs.rewinding import Rewinding
from prunekit.runs.state import State
from prunekit.runs.trainings import Trainings
from prunekit.selection.masks import foreign_masks


@attrs.frozen(eq=False)
class Stages:
    """What carries a plan out: it changes the state, and the journal tells."""

    plan: Plan
    state: State
    built: Built
    batches: RunBatches
    journal: Journal

    @property
    def rewinding(self) -> Rewinding:
        return Rewinding(self.plan, self.state)

    @property
    def trainings(self) -> Trainings:
        return Trainings(self.plan, self.state, self.built, self.batches, self.journal)

    def work(self) -> None:
        """All stages from where the state stands to the end of training."""
        state, learned = self.state, isinstance(self.plan.masks, LearnedMasks)
        if state.phase == "rounds":
            self.prune()
            state.phase, state.trained = "final", False
            self.own_weights()  # before the checkpoint, which then holds them once
            self.journal.save(state)
        if state.phase == "final":
            self.own_weights()  # of a run that was stopped after that checkpoint
            self.trainings.train("final", self.plan.training.epochs)
            if learned:
                state.score_stats = score_stats(state.pruning)
                self.finish_masks()
            state.phase = "done"

    def stand(self, tensors: Mapping[str, Tensor], position: Mapping[str, Any]) -> None:
        """Stand where a checkpoint that fits stood; StorageError where its training does not."""
        self.state.take(tensors, position)
        if self.state.phase == "final":
            self.own_weights()
        self.trainings.stand()

    def own_weights(self) -> None:
        """The weights are the model's own parameters now, unless scores are learned over them."""
        if not isinstance(self.plan.masks, LearnedMasks):
            network = self.state.network
            network.weights = {name: p.detach() for name, p in network.effective.items()}

    def prune(self) -> None:
        """All rounds that are left, then the control."""
        network, masks, seed = self.state.network, self.plan.masks, self.plan.seed
        if isinstance(masks, GivenMasks):
            network.mask(foreign_masks(masks.path, network.weights))
        if isinstance(masks, MeasuredMasks):
            pruning, law = self.state.pruning, self.built.law
            if masks.rounds and not pruning.round:
                warn_of_zeros(network)
            prune_rounds(pruning, masks.rounds, self.batches.scored, law, seed, around=self)
        self.finish_masks()

    # -- what goes on around the steps of a round, see `pruning.rounds.Around` -------------------

    def before(self, number: int, round_: Round) -> None:
        masks = self.plan.masks
        if round_.epochs and not self.state.trained and isinstance(masks, MeasuredMasks):
            self.rewinding.before_first()
            self.trainings.train(f"round-{number}", round_.epochs, masks.trained_on)
            self.take_trained_weights()
            if self.journal.due():
                self.journal.save(self.state)
        self.journal.stopper.may_stop(anywhere=True)  # a resume does the round again

    def masked(self, round_: Round) -> None:
        self.journal.stopper.may_stop(anywhere=False)
        if round_.epochs:
            self.rewinding.rewind()

    def redrawn(self, where: Mapping[str, Tensor]) -> None:
        self.rewinding.redrawn(where)

    def after(self, round_: Round, line: Mapping[str, Any]) -> None:
        state = self.state
        if round_.last:
            state.score_stats = score_stats(state.pruning)
        self.journal.record(line)
        self.keep()
        state.trained = False
        if not round_.last and (round_.epochs or self.journal.due()):
            self.journal.save(state)  # after the last round `work` saves, when the masks are final

    def keep(self) -> None:
        """Keep what the plan says of the round just done, before a checkpoint counts on it."""
        masks, pruning = self.plan.masks, self.state.pruning
        if isinstance(masks, MeasuredMasks) and masks.keep != "none":
            scores = pruning.scores if masks.keep == "all" else None
            self.journal.keep(pruning.round, self.state.masks, scores)

    def take_trained_weights(self) -> None:
        """After a training: the kept weights are the trained ones, the pruned keep their values."""
        network = self.state.network
        for name, parameter in network.effective.items():
            where = None if network.masks is None else network.masks[name]
            network.change(name, where, parameter.detach().clone())
        self.state.trained = True

    # -- the end of pruning ----------------------------------------------------------------------

    def finish_masks(self) -> None:
        """After the last round: multiply a sampler's scale in, apply the control, free memory."""
        pruning, network = self.state.pruning, self.state.network
        for name, factor in (pruning.scale or {}).items():
            network.change(name, None, network.weights[name] * factor)
        if self.plan.control != "none" and network.masks is not None:
            self.control(network.masks)
        data = self.batches.data
        tokens = data.train.images if data.tokens else None
        self.state.dead = dead_kept(network, generator(self.plan.seed, "dead"), tokens)
        pruning.scores = self.state.rewind = None
        network.memo.clear()

    def control(self, masks: Mapping[str, Tensor]) -> None:
        """Let the control change masks, or weights of a draw at which none has ever stood."""
        pruning, network = self.state.pruning, self.state.network
        number = pruning.next_draw
        law, rng = self.built.law.numbered(number), generator(self.plan.seed, "control")
        changed, redrawn = apply_control(
            self.plan.control, masks, network, law, rng, pruning.scores
        )
        network.mask(changed)
        if isinstance(self.plan.masks, LearnedMasks):  # no training comes after it
            for name in redrawn:
                pruning.draws[name] = torch.full_like(masks[name], number, dtype=torch.int32)


def saved_at(plan: Plan, done: int) -> list[dict[str, Any]]:
    """What checkpoints after `done` rounds say of where they were taken: all that `Stages` saves.

    Between rounds or before the final training, within a training, and after that of a round.
    """
    final = done == len(plan.rounds)
    phase = "final" if final else "rounds"
    trains = plan.training.epochs if final else plan.rounds[done].epochs
    within_after = [(True, False), (False, True)][: 1 if final else 2] if trains else []
    return [
        {"phase": phase, "training": training, "trained": trained}
        for training, trained in [(False, False), *within_after]
    ]
