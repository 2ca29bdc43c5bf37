"""Whether a checkpoint is one that this run can have written: asked before anything is changed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from prunekit.network.names import state_of
from prunekit.pruning.collapse import measured
from prunekit.resolve.plan import LearnedMasks, MeasuredMasks, Plan
from prunekit.runs.stages import saved_at
from prunekit.runs.state import State
from prunekit.storage.checkpoints import grouped, misfit, require_fit

GROUPS = ("model", "masks", "redrawn", "draws", "scale", "rewind", "weights", "training")


@attrs.frozen(eq=False)
class Fitting:
    """Checks tensors and position of a checkpoint against `plan` and the `state` at its start."""

    plan: Plan
    state: State

    def check(self, tensors: Mapping[str, Tensor], position: Mapping[str, Any]) -> None:
        """StorageError, see `misfit`, that names the first thing that cannot be."""
        self._keys(tensors, position)
        groups = grouped(tensors)
        self._place(position)
        self._counts(position)
        self._layers(position, bool(groups.get("masks")))
        if bool(position["training"]) != ("training" in groups):
            raise misfit(f"training is {position['training']}, and its tensors say otherwise")
        self._tensors(groups)

    def _keys(self, tensors: Mapping[str, Tensor], position: Mapping[str, Any]) -> None:
        wanted = {*self.state.position(), "metrics_bytes"} - {"parts"}
        if odd := sorted(wanted ^ position.keys() - {"tensors", "parts"}):
            verb = "lacks" if odd[0] in wanted else "has"
            raise misfit(f"its position {verb} {odd[0]!r}")
        names = position.get("tensors", sorted(tensors))  # prunekit 0.1.0 listed none
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise misfit("tensors is no list of names")
        if differ := sorted({*names} ^ tensors.keys()):
            raise misfit(f"{differ[0]} is {'not ' if differ[0] in names else ''}there")
        for name in tensors:
            group, _, rest = name.partition("/")
            if group not in GROUPS or not rest:
                raise misfit(f"{name!r} is there, and no run has it")

    def _place(self, position: Mapping[str, Any]) -> None:
        """Where it was taken is a place where a run saves."""
        rounds, done = len(self.plan.rounds), position["round"]
        if not whole(done, rounds):
            raise misfit(f"round is {done!r}, not one of 0 to {rounds}")
        places = saved_at(self.plan, done)
        said = {key: position[key] for key in places[0]}
        if repr(said) not in map(repr, places):  # 0 is not False here
            told = ", ".join(f"{key} is {value!r:.50}" for key, value in said.items())
            raise misfit(f"after round {done} no run saves where {told}")

    def _counts(self, position: Mapping[str, Any]) -> None:
        most = position["round"] * self.state.network.total
        if not whole(position["redraws"], most):
            raise misfit(f"redraws is {position['redraws']!r}, not one of 0 to {most}")
        parts = position.get("parts", 2)
        if not whole(parts, 2**62) or parts < 2 or parts & (parts - 1):  # doubled, see `inparts`
            raise misfit(f"parts is {parts!r}, which no batch is scored in")
        seconds = position["seconds"]
        if type(seconds) not in (int, float) or not 0 <= seconds < 2**53:
            raise misfit(f"seconds is {seconds!r}, no time")
        if not whole(position["metrics_bytes"]):
            raise misfit(f"metrics_bytes is {position['metrics_bytes']!r}, no count")

    def _layers(self, position: Mapping[str, Any], masked: bool) -> None:
        """What is known by layer once the rounds are over."""
        network, final = self.state.network, position["phase"] == "final"
        counted = masked and final and not isinstance(self.plan.masks, LearnedMasks)
        dead = mapping_of("dead", position, measured(network) if counted else ())
        for name, count in dead.items():
            if not whole(count, network.weights[name].numel()):
                raise misfit(f"dead of {name} is {count!r}")
        rows = network.weights if final and self.plan.rounds else ()
        for name, row in mapping_of("score_stats", position, rows).items():
            floats = isinstance(row, list) and all(type(number) is float for number in row)
            if not floats or len(row) != (3 if network.weights[name].numel() else 0):
                raise misfit(f"score_stats of {name} is {row!r}")

    def _tensors(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        network, model = self.state.network, self.state.network.model
        weights = {name: w.to("meta") for name, w in network.weights.items()}
        bools, draws = of_type(weights, torch.bool), of_type(weights, torch.int32)
        require_fit(groups.get("model", {}), model.state_dict(), "model")
        if "masks" in groups:
            require_fit(groups["masks"], bools, "masks")
        if "rewind" in groups:
            extra = weights if self._rewinds_to_start else {}
            require_fit(groups["rewind"], state_of(model) | extra, "rewind")
        for group, wanted in (("redrawn", bools), ("draws", draws), ("weights", weights)):
            require_fit(groups.get(group, {}), wanted, group, some=True)
        self._scale(groups.get("scale", {}))

    @property
    def _rewinds_to_start(self) -> bool:
        masks = self.plan.masks
        return isinstance(masks, MeasuredMasks) and masks.rewind.to == "init"

    def _scale(self, scale: Mapping[str, Tensor]) -> None:
        """A sampler's factors: one for each weight, of the dtype it chose."""
        weights = self.state.network.weights
        for name, factor in scale.items():
            if name not in weights or factor.shape != weights[name].shape:
                raise misfit(f"scale/{name} is {tuple(factor.shape)}, which no weight of it is")
            if not factor.is_floating_point():
                raise misfit(f"scale/{name} is {factor.dtype}, not a floating type")


def whole(value: Any, most: float = math.inf) -> bool:
    """Whether it is an int from 0 to `most`."""
    return type(value) is int and 0 <= value <= most


def mapping_of(key: str, position: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """What the position has under `key`: a mapping with just these names."""
    found = position[key]
    if not isinstance(found, dict):
        raise misfit(f"{key} is {found!r:.50}, no mapping")
    if odd := sorted(found.keys() ^ {*names}):
        raise misfit(f"{key} {'lacks' if odd[0] in names else 'has'} {odd[0]!r}")
    return found


def of_type(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}
