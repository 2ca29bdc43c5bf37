"""A claim that comes to nothing leaves the folder as it was, and what others put there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from prunekit.errors import StorageError
from prunekit.storage.checkpoints import drop_checkpoints
from prunekit.storage.runfolder import RunFolder


def names(path: Path) -> list[str]:
    return sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))


def begun(folder: RunFolder, *files: str) -> None:
    """Claim a folder, let `files` come into it, and fail."""
    with folder.claimed():
        for file in files:
            (folder.path / file).parent.mkdir(parents=True, exist_ok=True)
            (folder.path / file).touch()
        raise ZeroDivisionError


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO, errno.EPERM])
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_cannot_be_locked_is_left_as_it_was(
    number: int, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def none(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    folder = RunFolder(tmp_path / "some" / "run")
    if there:
        folder.path.mkdir(parents=True)
    with pytest.raises(StorageError, match=f"cannot lock .*: {os.strerror(number)}; choose"):
        begun(folder)
    assert names(tmp_path) == (["some", "some/run"] if there else [])


OWN = (
    "spec.toml",
    "metrics.jsonl",
    "checkpoints/000001/state.safetensors",
    "plots/density.png",
    "tensorboard/events.out.tfevents.1.host.2.0",
    ".spec.toml.tmp-17",
)


@pytest.mark.parametrize(
    "other",
    [
        "notes.txt",
        "plots/mine.png",
        "checkpoints/notes",
        "checkpoints/000001/notes",
        "tensorboard/other",
        "masks/notes",
        ".vimrc.tmp-old",
    ],
)
def test_what_others_put_there_stays(other: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ZeroDivisionError):
        begun(folder, *OWN, other)
    files = [name for name in names(folder.path) if (folder.path / name).is_file()]
    assert files == [other]


def test_a_claim_undone_removes_all_that_a_run_wrote(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        begun(RunFolder(tmp_path / "run"), *OWN)
    assert names(tmp_path) == []


def test_a_run_that_has_begun_its_work_is_not_undone(tmp_path: Path) -> None:
    """No checkpoint yet, but a round that is done: a resume goes on."""
    folder = RunFolder(tmp_path / "run")

    def fail() -> None:
        with folder.claimed():
            folder.spec.touch()
            folder.append_metrics({"kind": "round"})
            raise SystemExit(0)

    with pytest.raises(SystemExit):
        fail()
    assert names(folder.path) == [".lock", "metrics.jsonl", "spec.toml"]


@pytest.mark.parametrize("entry", ["plots", "tensorboard", "checkpoints", "spec.toml"])
def test_a_link_is_not_followed_when_a_claim_is_undone(entry: str, tmp_path: Path) -> None:
    away = tmp_path / "away"
    for name in ("density.png", "events.out.tfevents.1", "000001/manifest.json"):
        (away / name).parent.mkdir(parents=True, exist_ok=True)
        (away / name).touch()
    before, folder = names(away), RunFolder(tmp_path / "run")

    def link() -> None:
        with folder.claimed():
            (folder.path / entry).symlink_to(away)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        link()
    assert names(away) == before


def test_a_checkpoint_that_is_a_link_is_not_dropped(tmp_path: Path) -> None:
    away: Any = tmp_path / "away"
    away.mkdir()
    (away / "manifest.json").touch()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "000001").symlink_to(away)
    drop_checkpoints(tmp_path / "checkpoints")
    assert names(away) == ["manifest.json"]


def test_a_finished_run_is_not_undone(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        begun(RunFolder(tmp_path / "run"), "spec.toml", "summary.json")
    assert names(tmp_path / "run") == [".lock", "spec.toml", "summary.json"]
