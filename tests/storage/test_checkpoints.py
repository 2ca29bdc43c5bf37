"""Checkpoints: two are kept, the newest that verifies counts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from prunekit.errors import SpecError, StorageError
from prunekit.storage import checkpoints
from prunekit.storage.checkpoints import load_checkpoint, save_checkpoint

POSITION = {"round": 3, "seconds": 0.1, "stats": {"a": [1.5, 2.0]}}


def save(folder: Path, number: int) -> None:
    save_checkpoint(folder, {"a": torch.full((2,), number)}, {**POSITION, "n": number}, "spec")


def loaded(folder: Path) -> int | None:
    """The number that was saved with the newest checkpoint that counts."""
    found = load_checkpoint(folder, "spec")
    if found is None:
        return None
    tensors, position = found
    assert tensors["a"].tolist() == [position["n"]] * 2
    return int(position["n"])


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"x/y": torch.ones(2)}, POSITION, "spec")
    tensors, position = load_checkpoint(tmp_path, "spec") or ({}, {})
    assert tensors["x/y"].tolist() == [1, 1]
    assert position == POSITION


def test_where_none_is_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none", "spec") is None
    assert load_checkpoint(tmp_path, "spec") is None


def test_a_state_that_the_system_cannot_map_is_unreadable_and_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def failing(*_: object) -> None:
        raise SafetensorError("Error while opening: No such device (os error 19)")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "tensors_of", failing)
        with pytest.raises(StorageError, match=r"No such device .*; nothing was changed"):
            loaded(tmp_path)
    assert loaded(tmp_path) == 1


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path, number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000004", "000005"]
    assert loaded(tmp_path) == 4


def test_one_without_a_manifest_counts_for_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "000003").mkdir()
    (tmp_path / "000003" / ".state.safetensors.tmp-17").write_bytes(b"half")
    assert loaded(tmp_path) == 2
    save(tmp_path, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000002", "000004"]


@pytest.mark.parametrize("file", ["manifest.json", "state.safetensors"])
def test_a_damaged_one_gives_way_to_the_older(tmp_path: Path, file: str) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    whole = (tmp_path / "000002" / file).read_bytes()
    for place in range(0, len(whole), 7):
        spoilt = bytearray(whole)
        spoilt[place] ^= 2
        (tmp_path / "000002" / file).write_bytes(spoilt)
        assert loaded(tmp_path) == 1
    (tmp_path / "000002" / file).unlink()
    assert loaded(tmp_path) == 1
    (tmp_path / "000001" / file).write_bytes(b"")
    assert loaded(tmp_path) is None


def as_of_before(path: Path, sha256: str) -> None:
    """Give a checkpoint the manifest of prunekit 0.1.0, whose record is the sha256 of the file."""
    manifest = json.loads((path / "manifest.json").read_bytes())
    del manifest["sha256"], manifest["state"]["content"]
    manifest["state"]["sha256"] = sha256
    seal = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (path / "manifest.json").write_text(json.dumps({**manifest, "sha256": seal}))


def test_one_written_by_prunekit_0_1_0_counts_if_its_file_is_the_recorded(tmp_path: Path) -> None:
    save(tmp_path, 1)
    whole = (tmp_path / "000001" / "state.safetensors").read_bytes()
    as_of_before(tmp_path / "000001", hashlib.sha256(whole).hexdigest())
    assert loaded(tmp_path) == 1
    save(tmp_path, 2)
    as_of_before(tmp_path / "000002", hashlib.sha256(b"another").hexdigest())
    assert loaded(tmp_path) == 1


def test_a_state_of_another_checkpoint_is_not_taken(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    state = tmp_path / "000002" / "state.safetensors"
    state.write_bytes((tmp_path / "000001" / "state.safetensors").read_bytes())
    assert loaded(tmp_path) == 1


def test_one_of_another_spec_is_refused(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(SpecError, match="is a checkpoint of another spec"):
        load_checkpoint(tmp_path, "other")


def test_one_that_cannot_be_written_leaves_the_older_and_no_trace(tmp_path: Path) -> None:
    save(tmp_path, 1)
    strange = {"a/b": torch.ones(1)}
    (tmp_path / "000001" / "state.safetensors").touch()
    with pytest.raises(StorageError, match="cannot write"):
        save_checkpoint(tmp_path / "000001" / "manifest.json", strange, POSITION, "spec")
    assert loaded(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["000001"]


def test_numbers_beyond_six_digits_are_in_order(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "000001").rename(tmp_path / "999999")
    save(tmp_path, 2)
    save(tmp_path, 3)
    assert loaded(tmp_path) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1000000", "1000001"]
