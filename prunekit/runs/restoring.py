"""Where a run that is resumed goes on from: all is read and checked before the folder changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunekit.errors import StorageError, warn
from prunekit.runs.fitting import Fitting
from prunekit.runs.rewinding import Rewinding
from prunekit.runs.stages import Stages
from prunekit.runs.state import State
from prunekit.storage.checkpoints import ASIDE, Look, load_checkpoint, set_aside


def restore(stages: Stages) -> str:
    """Let the state stand where the newest checkpoint stood, or at the start; says which.

    Metrics lines after it are cut, and damaged ones set aside with a warning. Raises StorageError,
    before anything is changed, where a checkpoint or the metrics cannot be read or do not fit the
    run, SpecError for a checkpoint of another spec.
    """
    folder, look = stages.journal.folder, Look()
    found = load_checkpoint(folder.checkpoints, folder.spec_hash, look)
    size = 0
    if found is not None:
        Fitting(stages.plan, stages.state).check(*found)
        size = found[1]["metrics_bytes"]
        stages.stand(*found)
    _check_lines(folder.lines_before(size), stages)
    _tell_of_damage(look)
    folder.cut_metrics(size)
    return _where(folder.path, look, stages.state)


def _check_lines(lines: Sequence[Mapping[str, Any]], stages: Stages) -> None:
    """StorageError unless there is a line for each round, and for the epochs of the training."""
    state, metrics = stages.state, stages.journal.folder.metrics
    rounds = state.pruning.round
    if (found := sum(line.get("kind") == "round" for line in lines)) != rounds:
        raise StorageError(
            f"{metrics} has {found} rounds up to a checkpoint of {rounds}; put it back"
        )
    phase, first, last = _epochs(stages)
    of = [line for line in lines if line.get("phase") == phase]
    said = of[-1].get("epoch") if of else first
    if said != last:
        raise StorageError(
            f"{metrics} ends in epoch {said} of {phase}, the checkpoint in {last}; put both back "
            "as the run wrote them"
        )


def _epochs(stages: Stages) -> tuple[str, int, int]:
    """The phase of the training that is underway or next, and the epochs it began in and is in."""
    state, training = stages.state, stages.state.training
    if training is not None:
        first = Rewinding(stages.plan, state).first_epoch(training)
        return training.phase, first, training.epoch
    rounds, number = stages.plan.rounds, state.pruning.round
    return f"round-{number + 1}", 0, rounds[number].epochs if state.trained else 0


def _tell_of_damage(look: Look) -> None:
    """Warn of checkpoints that were passed over, and set them aside."""
    taken = f"{look.taken} is taken" if look.taken else "none is left to take"
    for path, why in look.damaged.items():
        kept = f"kept as {path.name}{ASIDE}"
        warn(f"{path} is damaged ({why}) and passed over, {kept}; {taken}")
        set_aside(path)


def _where(folder: Path, look: Look, state: State) -> str:
    """From where it goes on, in a line."""
    if look.taken is None:
        why = "every checkpoint is damaged" if look.damaged else "there is no checkpoint yet"
        return f"{folder} starts anew: {why}"
    training = state.training
    phase = training.phase if training else state.phase
    epoch, step = (training.epoch, training.step) if training else (0, 0)
    return (
        f"{folder} goes on from checkpoint {look.taken.name}: phase {phase}, "
        f"round {state.pruning.round}, epoch {epoch}, step {step}"
    )
