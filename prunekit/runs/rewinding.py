"""What rounds that train return to: the weights of the start, of a step, or only the rate."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from prunekit.errors import SpecError
from prunekit.network.names import state_of
from prunekit.resolve.plan import MeasuredMasks, Plan, Rewind
from prunekit.runs.state import State
from prunekit.training.loop import Training


@attrs.frozen(eq=False)
class Rewinding:
    """Takes `state.rewind`, a copy of every tensor of the model, and goes back to it."""

    plan: Plan
    state: State

    @property
    def goal(self) -> Rewind | None:
        """What is rewound to; None where nothing is measured."""
        return self.plan.masks.rewind if isinstance(self.plan.masks, MeasuredMasks) else None

    @property
    def waiting(self) -> int:
        """The step of a round's training whose weights are wanted and not yet taken; 0 = none."""
        goal, taken = self.goal, self.state.rewind is not None or self.state.phase != "rounds"
        return 0 if goal is None or taken else goal.step

    def before_first(self) -> None:
        """Before the first round trains: the weights of the start, before masking."""
        if self.goal and self.goal.to == "init" and self.state.rewind is None:
            weights = {name: w.clone() for name, w in self.state.network.weights.items()}
            self.state.rewind = self._tensors() | weights

    def check(self, steps: int) -> None:
        """SpecError where a round of so many steps never comes to the wanted one."""
        if self.waiting >= steps and self.waiting:
            raise SpecError(
                f"rounds.rewind_step = {self.waiting} is never reached; a round trains {steps} "
                "steps: raise rounds.epochs"
            )

    def skip(self, training: Training) -> None:
        """Let a training after a rewind begin at the step whose weights it has."""
        if self.goal and self.goal.to == "step" and self.state.pruning.round:
            training.step = self.goal.step

    def first_epoch(self, training: Training) -> int:
        """The epoch in which such a training begins, see `skip`."""
        goal = self.goal
        late = goal is not None and goal.to == "step" and self.state.pruning.round
        return goal.step // training.steps_per_epoch if goal is not None and late else 0

    def after_step(self, training: Training) -> None:
        """Take the weights when the wanted step is done."""
        if self.waiting and training.step == self.waiting:
            self.state.rewind = self._tensors()

    def _tensors(self) -> dict[str, Tensor]:
        state = state_of(self.state.network.model)
        return {key: value.detach().clone() for key, value in state.items()}

    @torch.no_grad()
    def rewind(self) -> None:
        """Return to what was taken; rewind = lr takes nothing and keeps all."""
        taken, network = self.state.rewind, self.state.network
        if taken is None:
            return
        for key, value in state_of(network.model).items():
            value.copy_(taken[key])
        for name in network.weights:
            network.change(name, None, taken[name])

    def redrawn(self, where: Mapping[str, Tensor]) -> None:
        """A weight that is redrawn is redrawn in what was taken too."""
        taken = self.state.rewind
        if taken is not None:
            for name, elements in where.items():
                taken[name][elements] = self.state.network.weights[name][elements]
