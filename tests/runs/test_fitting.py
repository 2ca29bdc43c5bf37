"""A checkpoint whose digest is right and whose content is not: refused, or to the same bits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from prunekit import Spec
from prunekit.errors import PrunekitError
from prunekit.runs import journal
from prunekit.storage.checkpoints import load_checkpoint, save_checkpoint
from prunekit.storage.runfolder import RunFolder
from tests import tinyruns
from tests.tinyruns import FUSE, Died, assert_same, learned_spec, left_by, resume_tiny, tiny_spec

NEVER = 10**9
IMP = {
    "rounds": {"count": 2, "epochs": 1},
    "reinit": {"name": "iterand", "rate": 0.5},
    "train": {"epochs": 2, "checkpoint_every": 2},
}
STOPS: dict[str, tuple[Spec, str, str]] = {
    "in the training of a round": (tiny_spec(**IMP), "rounds", "training"),
    "between two rounds": (tiny_spec(**IMP), "rounds", ""),
    "between training and scoring": (tiny_spec(**IMP), "rounds", "trained"),
    "when the rounds are over": (tiny_spec(**IMP), "final", ""),
    "in the final training, of adam": (
        tiny_spec(sampler="sketch", train={"optimizer": "adam", "checkpoint_every": 2}),
        "final",
        "training",
    ),
    "while scores are learned": (learned_spec(train={"checkpoint_every": 2}), "final", "training"),
}
"""Spec, and the phase of a checkpoint, and whether a training is underway or a round's is over."""


class Stop:
    """A run, what it ends in, and its folder with one checkpoint, of the wanted kind, in it."""

    def __init__(self, where: Path, spec: Spec, phase: str, doing: str) -> None:
        FUSE.burn(NEVER)
        tinyruns.run_tiny(spec, where / "whole")
        self.whole, self.folder, self.spare = left_by(where / "whole"), where / "at", where / "copy"
        for ticks in range(3, 60):  # the first two look at the net
            shutil.rmtree(where / "run", ignore_errors=True)
            FUSE.burn(ticks)
            with pytest.raises(Died):
                tinyruns.run_tiny(spec, where / "run")
            self.found = found_in(where / "run")
            if self.found and kind_of(self.found[1]) == (phase, doing):
                break
        shutil.copytree(where / "run", self.folder)
        shutil.rmtree(self.folder / "checkpoints")

    def resumed(self, tensors: Any, position: Any) -> str:
        """What a resume from such a checkpoint says: "" if it ends in the same bits."""
        shutil.rmtree(self.spare, ignore_errors=True)
        shutil.copytree(self.folder, self.spare)
        folder = RunFolder(self.spare)
        save_checkpoint(folder.checkpoints, tensors, position, folder.spec_hash)
        before = content_of(self.spare)
        FUSE.burn(NEVER)
        said = ""
        try:
            resume_tiny(self.spare)
        except PrunekitError as error:
            said = str(error)
        if said:
            assert content_of(self.spare) == before
            return said
        for key, value in left_by(self.spare).items():
            if key not in ("state", "position"):  # the last save may be another
                assert_same(self.whole[key], value, key)
        return ""


def kind_of(position: dict[str, Any]) -> tuple[str, str]:
    doing = [name for name in ("training", "trained") if position[name]]
    return position["phase"], " ".join(doing)


def found_in(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    run = RunFolder(folder)
    return load_checkpoint(run.checkpoints, run.spec_hash) if run.holds_run() else None


def content_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module", params=STOPS)
def stop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stop:
    with pytest.MonkeyPatch.context() as patch:
        if STOPS[request.param][2] == "trained":  # such a checkpoint is taken when it has been long
            patch.setattr(journal, "CHECKPOINT_SECONDS", -1.0)
        return Stop(tmp_path_factory.mktemp("stop"), *STOPS[request.param])


def altered_tensors(tensors: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each tensor gone, under another name, of other shapes and of another type; new ones."""
    for name, tensor in tensors.items():
        others = {key: t for key, t in tensors.items() if key != name}
        yield f"{name} gone", others
        yield f"{name} renamed", others | {name + "x": tensor}
        kind = torch.float32 if tensor.dtype != torch.float32 else torch.float64
        yield f"{name} of {kind}", others | {name: tensor.to(kind)}
        yield f"{name} of one element", others | {name: tensor.reshape(-1)[:1].clone()}
        if name.startswith("training/") and tensor.dtype == torch.int64:  # a count
            yield f"{name} below 0", others | {name: torch.full_like(tensor, -1)}
    for name in (
        "more/x",
        "model/x",
        "masks/x",
        "training/x",
        "training/optimizer/x/y",
        "x",
        "draws/",
    ):
        yield f"{name} new", tensors | {name: torch.zeros(1)}


ODD = (None, "7", -1, 10**9, 0.5, [], {"x": 1})


def altered_positions(position: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in position:
        yield f"{key} gone", {k: v for k, v in position.items() if k != key}
        for odd in ODD:
            if key != "seconds" or not isinstance(odd, int | float):  # any time is one
                yield f"{key} = {odd!r:.20}", {**position, key: odd}
    for phase in ("rounds", "final", "done", "other"):
        if phase != position["phase"]:
            yield f"phase = {phase}", {**position, "phase": phase}
    for key in ("training", "trained"):
        yield f"{key} turned", {**position, key: not position[key]}
    for key in ("round", "metrics_bytes"):
        yield f"{key} + 1", {**position, key: position[key] + 1}
    for odd in (True, -0.5, float("nan"), float("inf"), 10**400):
        yield f"seconds = {odd!r:.20}", {**position, "seconds": odd}
    yield "more", {**position, "more": 1}
    for key in ("dead", "score_stats"):
        for name, value in position[key].items():
            yield (
                f"{key} lacks {name}",
                {
                    **position,
                    key: {n: v for n, v in position[key].items() if n != name},
                },
            )
            odd = [value] if key == "dead" else value[:2]
            yield f"{key} of {name}", {**position, key: {**position[key], name: odd}}


def test_a_checkpoint_as_it_was_ends_in_the_same_bits(stop: Stop) -> None:
    assert stop.found is not None
    assert stop.resumed(*stop.found) == ""


def test_no_altered_tensor_passes(stop: Stop) -> None:
    assert stop.found is not None
    tensors, position = stop.found
    said = {what: stop.resumed(found, position) for what, found in altered_tensors(tensors)}
    assert [what for what in said if "does not fit its run" not in said[what]] == []


ALTERED = [name for name in STOPS if "adam" not in name]


@pytest.mark.parametrize("stop", ALTERED, indirect=True)
def test_no_altered_key_passes(stop: Stop) -> None:
    assert stop.found is not None
    tensors, position = stop.found
    said = {what: stop.resumed(tensors, found) for what, found in altered_positions(position)}
    passed = [what for what in said if not said[what]]
    assert passed == ["tensors gone"]  # prunekit 0.1.0 listed none
