"""`rounds.keep`: the masks and scores of every round stay in the run folder."""

from __future__ import annotations

import itertools

import attrs
import pytest
import torch

import prunekit
from prunekit import Masks, SpecError
from prunekit.errors import StorageError
from prunekit.network.model import Network
from prunekit.resolve.filling import resolve
from prunekit.runs.building import build_model
from prunekit.storage.runfolder import RunFolder, of_round
from prunekit.storage.tensorfile import read_tensors
from tests.tinyruns import kept_in, plugins, run_tiny, tiny_spec

ROUNDS = {"scorer": "snip", "rounds": {"count": 3, "keep": "all"}}


def scores_of(folder):
    return read_tensors(folder / "scores.safetensors")[0]


def test_a_folder_for_each_round_holds_its_masks_and_scores(tmp_path):
    run_tiny(tiny_spec(**ROUNDS), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    kept = [str(path.relative_to(folder.rounds)) for path in kept_in(folder)]
    names = ("masks.safetensors", "scores.safetensors")
    assert kept == [f"00{number}/{name}" for number in (1, 2, 3) for name in names]
    masks = [Masks.load(folder.rounds / f"00{number}" / names[0]) for number in (1, 2, 3)]
    lines = [line for line in folder.lines() if line["kind"] == "round"]
    assert [m.kept for m in masks] == [line["kept"] for line in lines]
    assert masks[2].digest() == Masks.load(folder.masks).digest()
    for outer, inner in itertools.pairwise(masks):
        assert all((outer[name] | ~inner[name]).all() for name in outer)


def test_the_masks_of_a_round_keep_its_largest_scores(tmp_path):
    run_tiny(tiny_spec(**ROUNDS), tmp_path / "run")
    first = tmp_path / "run/rounds/001"
    masks, scores = Masks.load(first / "masks.safetensors"), scores_of(first)
    kept = torch.cat([scores[name][mask] for name, mask in masks.items()])
    pruned = torch.cat([scores[name][~mask] for name, mask in masks.items()])
    assert kept.min() >= pruned.max()


def test_scores_of_a_round_that_needs_no_training_are_those_of_the_weights(tmp_path):
    given = tiny_spec(rounds={"count": 1, "keep": "all"})
    run_tiny(given, tmp_path / "run")
    plan = resolve(given, plugins())
    network = Network.of(build_model(plan, plan.dataset.load()).model)
    for name, score in scores_of(tmp_path / "run/rounds/001").items():
        assert torch.equal(score, network.weights[name].abs())


def test_masks_alone_are_kept_where_only_they_are_asked_for(tmp_path):
    run_tiny(tiny_spec(scorer="snip", rounds={"count": 2, "keep": "masks"}), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert [path.name for path in kept_in(folder)] == ["masks.safetensors"] * 2


def test_a_run_keeps_nothing_of_its_rounds_unless_asked_and_has_the_same_bits(tmp_path):
    run_tiny(tiny_spec(**ROUNDS), tmp_path / "kept")
    plain = attrs.evolve(tiny_spec(**ROUNDS), rounds=prunekit.Rounds(count=3))
    run_tiny(plain, tmp_path / "plain")
    kept, left = RunFolder(tmp_path / "kept"), RunFolder(tmp_path / "plain")
    assert not left.rounds.exists()
    assert kept.model.read_bytes() == left.model.read_bytes()
    assert kept.masks.read_bytes() == left.masks.read_bytes()


def test_the_folder_of_a_round_gives_its_masks_to_another_run(tmp_path):
    run_tiny(tiny_spec(**ROUNDS), tmp_path / "run")
    second = tmp_path / "run/rounds/002"
    given = tiny_spec(
        scorer=None, prune={"density": None, "masks": str(second)}, rounds={"count": None}
    )
    run_tiny(given, tmp_path / "again")
    wanted = Masks.load(second / "masks.safetensors").digest()
    assert Masks.load(tmp_path / "again/masks.safetensors").digest() == wanted


def test_the_masks_are_those_before_the_control(tmp_path):
    given = tiny_spec(scorer="snip", rounds={"count": 1, "keep": "masks"})
    run_tiny(attrs.evolve(given, prune=attrs.evolve(given.prune, control="invert")), tmp_path / "r")
    kept = Masks.load(tmp_path / "r/rounds/001/masks.safetensors")
    assert kept.digest() != Masks.load(tmp_path / "r/masks.safetensors").digest()


def test_a_link_in_place_of_the_folder_is_not_written_through(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "rounds").symlink_to(tmp_path / "elsewhere")
    with pytest.raises((SpecError, StorageError)):
        run_tiny(tiny_spec(**ROUNDS), tmp_path / "run")
    with pytest.raises(StorageError, match="it is a link"):
        of_round(RunFolder(tmp_path / "run"), 1)
    assert not any((tmp_path / "elsewhere").iterdir())
