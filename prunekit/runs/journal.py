"""What is written while a run works: lines of metrics, for folder and observers; checkpoints."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import attrs

from prunekit.contracts import Observer
from prunekit.errors import same_place
from prunekit.network.model import Scores
from prunekit.runs.signals import Stopper
from prunekit.runs.state import State
from prunekit.selection.masks import Masks
from prunekit.storage.checkpoints import save_checkpoint
from prunekit.storage.runfolder import RunFolder, of_round
from prunekit.storage.tensorfile import write_tensors

CHECKPOINT_SECONDS = 30.0  # between rounds that do not train
LOADED_LATE = "torch._dynamo"
"""What torch loads in about a second when a process makes its first optimizer."""


@attrs.define(eq=False)
class Journal:
    """The run folder while it is written, who watches, and who may ask for a stop."""

    folder: RunFolder
    observers: list[Observer]
    stopper: Stopper
    counted: float = attrs.field(factory=time.perf_counter)  # up to then seconds are in the state
    saved: float = attrs.field(factory=time.perf_counter)
    cold: bool = attrs.field(factory=lambda: LOADED_LATE not in sys.modules)
    warm_seconds: float = 0.0  # of those counted, what a process spent that had trained before

    def record(self, line: Mapping[str, Any]) -> None:
        """Write one line of metrics, and hand it to the observers."""
        self.folder.append_metrics(line)
        with same_place():
            for observer in self.observers:
                observer.record(line)

    def keep(self, number: int, masks: Masks, scores: Scores | None) -> None:
        """Write the masks of round `number`, and scores where they are given.

        Raises StorageError where that cannot be done. A round that is done again writes them again.
        """
        folder = of_round(self.folder, number)
        masks.save(folder / self.folder.masks.name)
        if scores is not None:
            write_tensors(folder / "scores.safetensors", scores)

    def due(self) -> bool:
        """Whether a checkpoint is due between rounds: it has been long, or a signal came."""
        return time.perf_counter() - self.saved > CHECKPOINT_SECONDS or self.stopping

    @property
    def stopping(self) -> bool:
        """Whether a signal asked the run to save and stop."""
        return bool(self.stopper.signum)

    def save(self, state: State) -> None:
        """Write a checkpoint; raise Interrupted afterwards when a signal came.

        Raises NumericalError instead of saving a training whose loss is not finite, StorageError
        where it cannot be written.
        """
        if state.training is not None:
            state.training.look()
        self.count(state)
        self.saved = self.counted
        folder, tensors = self.folder, state.tensors()
        position = state.position() | {"metrics_bytes": folder.metrics_bytes()}
        position["tensors"] = sorted(tensors)  # so that one that is lost is missed
        save_checkpoint(folder.checkpoints, tensors, position, folder.spec_hash)
        self.stopper.stop_if_asked()

    def count(self, state: State) -> None:
        """Add the seconds that passed to those of the run."""
        now = time.perf_counter()
        spent, self.counted = now - self.counted, now
        state.seconds += spent
        self.warm_seconds += 0.0 if self.cold else spent
