"""The state of a run: what a checkpoint holds, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs
import torch
from torch import Tensor

from prunekit.network.model import Network
from prunekit.pruning.rounds import Pruning
from prunekit.selection.masks import Masks
from prunekit.storage.checkpoints import flat, grouped, misfit
from prunekit.training.loop import Training

Phase = Literal["rounds", "final", "done"]


@attrs.define(eq=False)
class State:
    """Where a run stands.

    trained: whether the current round has had its training. rewind: the tensors that rounds which
    train return to. training: the one underway; stopped: what a checkpoint holds of it, until it
    goes on. dead: by layer, kept weights that nothing flows through. score_stats: by layer, the
    smallest, mean and largest score of the last round. seconds: worked before this process.
    """

    pruning: Pruning
    phase: Phase = "rounds"
    trained: bool = False
    rewind: dict[str, Tensor] | None = None
    training: Training | None = None
    stopped: Mapping[str, Tensor] | None = None
    dead: dict[str, int] = attrs.field(factory=dict)
    score_stats: dict[str, list[float]] = attrs.field(factory=dict)
    seconds: float = 0.0

    @property
    def network(self) -> Network:
        return self.pruning.network

    @property
    def masks(self) -> Masks:
        """The masks as they stand; all True where nothing is masked."""
        weights = self.network.weights.items()
        whole = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights}
        return Masks(self.network.masks or whole)

    def position(self) -> dict[str, Any]:
        """What of the state is no tensor."""
        parts = self.network.parts
        return ({"parts": parts} if parts > 1 else {}) | {
            "phase": self.phase,
            "round": self.pruning.round,
            "trained": self.trained,
            "redraws": self.pruning.redraws,
            "training": self.training is not None,
            "seconds": self.seconds,
            "score_stats": self.score_stats,
            "dead": self.dead,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Everything that is not a function of the plan alone, as group/name."""
        pruning = self.pruning
        return flat(
            {
                "model": self.network.model.state_dict(),
                "masks": self.network.masks or {},
                "redrawn": pruning.redrawn,
                "draws": pruning.draws,
                "scale": pruning.scale or {},
                "rewind": self.rewind or {},
                "training": self.training.state() if self.training else {},
                "weights": self._weights_apart(),
            }
        )

    def _weights_apart(self) -> dict[str, Tensor]:
        """The weights that are not the model's own parameters."""
        own = {name: p.data_ptr() for name, p in self.network.effective.items()}
        weights = self.network.weights.items()
        return {name: weight for name, weight in weights if weight.data_ptr() != own[name]}

    def take(self, tensors: Mapping[str, Tensor], position: Mapping[str, Any]) -> None:
        """Stand where `tensors` and `position`, which were found to fit, were given."""
        groups, device = grouped(tensors), self.network.device
        for name in groups.keys() - {"training"}:  # the optimizer moves its own
            groups[name] = {key: value.to(device) for key, value in groups[name].items()}
        try:
            self._take(groups, position)
        except (KeyError, RuntimeError) as error:
            raise misfit(str(error)) from None

    @torch.no_grad()
    def _take(self, groups: dict[str, dict[str, Tensor]], position: Mapping[str, Any]) -> None:
        self.phase, self.trained = position["phase"], position["trained"]
        self.seconds, self.dead = position["seconds"], position["dead"]
        self.score_stats = position["score_stats"]
        pruning, network = self.pruning, self.network
        network.parts = position.get("parts", 1)
        pruning.round, pruning.redraws = position["round"], position["redraws"]
        pruning.redrawn, pruning.draws = groups.get("redrawn", {}), groups.get("draws", {})
        pruning.scale, self.rewind = groups.get("scale"), groups.get("rewind")
        network.model.load_state_dict(groups["model"])
        for name, parameter in network.effective.items():
            network.weights[name].copy_(groups.get("weights", {}).get(name, parameter))
        masks = groups.get("masks")
        network.masks = {name: masks[name] for name in network.weights} if masks else None
        self.stopped = groups["training"] if position["training"] else None
