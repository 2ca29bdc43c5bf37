"""A run is stopped at every single save: each resume takes the checkpoint, to the same bits."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
import torch

from prunekit.errors import Interrupted, StorageError
from prunekit.runs import journal
from prunekit.runs.journal import Journal
from prunekit.runs.state import State
from prunekit.storage.checkpoints import load_checkpoint, save_checkpoint
from prunekit.storage.runfolder import RunFolder
from tests.tinyruns import (
    FUSE,
    assert_same,
    learned_spec,
    left_by,
    resume_tiny,
    run_tiny,
    tiny_spec,
)

ADAM = {"accumulate": 2, "optimizer": "adamw", "checkpoint_every": 1}
SPECS = {
    "rewound to a step": tiny_spec(
        rounds={"count": 3, "epochs": 2, "rewind": "step", "rewind_step": 2}
    ),
    "rewound to the start": tiny_spec(rounds={"count": 3, "epochs": 1, "rewind": "init"}),
    "rewound in the rate": tiny_spec(rounds={"count": 3, "epochs": 1, "rewind": "lr"}),
    "adamw over two batches": tiny_spec(rounds={"count": 2, "epochs": 1}, train=ADAM),
    "no final training": tiny_spec(rounds={"count": 3, "epochs": 1}, train={"epochs": 0}),
    "redrawn between rounds": tiny_spec(
        rounds={"count": 3, "epochs": 1}, sampler="sketch", reinit={"name": "iterand", "rate": 0.5}
    ),
    "rounds that do not train": tiny_spec(scorer="synflow", rounds={"count": 5}),
    "scores learned": learned_spec(train={"epochs": 2, "checkpoint_every": 1}),
}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is due wherever one may be taken."""
    FUSE.burn(10**9)
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", -1.0)


def stopping(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Lets every save be followed by a signal; where they were taken."""
    save, places = Journal.save, list[dict[str, Any]]()

    def save_and_stop(self: Journal, state: State) -> None:
        places.append(state.position())
        save(self, state)
        signal.raise_signal(signal.SIGTERM)
        self.stopper.stop_if_asked()

    monkeypatch.setattr(Journal, "save", save_and_stop)
    return places


@pytest.mark.parametrize("name", SPECS)
def test_a_run_stopped_at_every_save_ends_in_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, out = SPECS[name], tmp_path / "pieces"
    run_tiny(spec, tmp_path / "whole")
    places = stopping(monkeypatch)
    with pytest.raises(Interrupted):
        run_tiny(spec, out)
    while not RunFolder(out).summary.exists():
        before = len(places)
        try:
            resume_tiny(out)
        except Interrupted:
            assert len(places) == before + 1
    assert any(place["trained"] for place in places) == bool(spec.rounds.epochs)
    whole, pieces = left_by(tmp_path / "whole"), left_by(out)
    for key in ("model", "masks", "scale", "draws", "layers", "metrics", "summary"):
        assert_same(whole[key], pieces[key], key)


def test_a_training_that_the_metrics_do_not_know_of_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two rounds, `trained` turned: the resume would leave a round's training out."""
    stopping(monkeypatch)
    folder = RunFolder(tmp_path)
    with pytest.raises(Interrupted):
        run_tiny(SPECS["rewound to the start"], tmp_path)
    trained = False
    while not trained:
        with pytest.raises(Interrupted):
            resume_tiny(tmp_path)
        found = load_checkpoint(folder.checkpoints, folder.spec_hash)
        tensors, position = found or ({}, {})
        trained = position["trained"]
    position["trained"] = False
    save_checkpoint(folder.checkpoints, tensors, position, folder.spec_hash)
    with pytest.raises(StorageError, match="ends in epoch 1 of round-1, the checkpoint in 0"):
        resume_tiny(tmp_path)


@attrs.frozen
class ShortScorer:
    """By magnitude; its batches do not fit into memory whole, as the first round finds."""

    seen: ClassVar[list[int]] = []

    def score(self, network: Any, batches: Any, rng: Any) -> dict[str, torch.Tensor]:
        self.seen.append(network.parts)
        network.parts = 2
        return {name: w.abs() for name, w in network.weights.items()}


@pytest.mark.filterwarnings("ignore:ShortScorer")
def test_the_parts_that_a_batch_is_scored_in_outlive_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping(monkeypatch)
    with pytest.raises(Interrupted):
        run_tiny(tiny_spec(scorer=ShortScorer(), rounds={"count": 3}), tmp_path)
    with pytest.raises(Interrupted):
        resume_tiny(tmp_path)
    assert ShortScorer.seen == [1, 2]
