"""The run folder: nothing left by a refused start, whole lines only."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.errors import LockedError, SpecError, StorageError
from prunekit.storage.runfolder import RunFolder


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def claim(folder: RunFolder, *files: str) -> None:
    """Claim a folder, write `files` into it, and fail."""
    with folder.claimed():
        for file in files:
            (folder.path / file).parent.mkdir(parents=True, exist_ok=True)
            (folder.path / file).touch()
        raise ZeroDivisionError


def test_a_folder_that_holds_something_is_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SpecError, match=r"is not empty \(notes.txt\); choose another --out"):
        claim(RunFolder(tmp_path))
    assert names(tmp_path) == ["notes.txt"]
    (tmp_path / "spec.toml").touch()
    with pytest.raises(SpecError, match="holds a run; continue it with `prunekit resume"):
        claim(RunFolder(tmp_path))
    assert names(tmp_path) == ["notes.txt", "spec.toml"]


def test_a_claimed_folder_is_locked_before_it_is_looked_into(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.claimed():
        folder.spec.write_text("")
        with pytest.raises(LockedError):
            claim(folder)
    assert names(folder.path) == [".lock", "spec.toml"]


def test_a_failed_claim_removes_all_that_it_made(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "some" / "runs" / "run")
    with pytest.raises(ZeroDivisionError):
        claim(folder, "plots/density.png", "spec.toml")
    assert names(tmp_path) == []


def test_a_failed_claim_leaves_an_empty_folder_that_was_there(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        claim(RunFolder(tmp_path), "spec.toml")
    assert names(tmp_path) == []


def test_a_failed_claim_with_a_checkpoint_stays(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ZeroDivisionError):
        claim(folder, "checkpoints/000001/manifest.json")
    assert names(folder.path) == [".lock", "checkpoints"]


def test_what_a_killed_start_left_half_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".owner.json").write_text('{"pid": 0')
    (tmp_path / ".spec.toml.tmp-17").write_text("arch")
    with RunFolder(tmp_path).claimed():
        assert names(tmp_path) == [".lock", ".owner.json"]


@pytest.mark.parametrize("below", ["file", "file/run", "file/some/run"])
def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="cannot create") as error:
        claim(RunFolder(tmp_path / below))
    assert error.value.exit_code == 4
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_where_nothing_can_be_written_is_refused() -> None:
    with pytest.raises(StorageError, match="cannot create /proc/run"):
        claim(RunFolder(Path("/proc/run")))


def test_metrics_are_whole_lines_that_can_be_cut(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert (folder.metrics_bytes(), folder.lines()) == (0, [])
    folder.append_metrics({"round": 1})
    size = folder.metrics_bytes()
    folder.append_metrics({"round": 2})
    assert folder.lines() == [{"round": 1}, {"round": 2}]
    folder.cut_metrics(size)
    assert folder.lines() == [{"round": 1}]
    with pytest.raises(StorageError, match=r"has lost lines; put it back, or remove .*checkpoints"):
        folder.cut_metrics(size + 1)
    folder.cut_metrics(0)
    assert folder.lines() == []


def test_a_damaged_summary_is_one_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json(folder.summary, {"density": 0.5})
    assert folder.read_summary() == {"density": 0.5}
    folder.summary.write_text('{"density": 0.')
    with pytest.raises(StorageError, match="cannot read"):
        folder.read_summary()


def test_a_link_out_of_a_run_folder_is_not_followed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    (folder.path / "weights").mkdir(parents=True)
    (folder.path / "weights" / "model").write_text("mine")
    folder.model.symlink_to("weights/model")
    assert folder.held(folder.model).read_text() == "mine"
    (tmp_path / "secret").write_text("not of this run")
    folder.masks.symlink_to("../secret")
    with pytest.raises(StorageError, match=r"leads out of its run folder, to .*secret, and is not"):
        folder.held(folder.masks)
    folder.checkpoints.symlink_to(tmp_path)
    with pytest.raises(StorageError, match="leads out of its run folder"):
        folder.held(folder.checkpoints / "secret")
    folder.draws.symlink_to("draws.safetensors")
    with pytest.raises(StorageError, match=r"cannot read .*draws"):
        folder.held(folder.draws)


def test_a_run_folder_that_is_reached_by_a_link_is_a_run_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").write_text("{}")
    (tmp_path / "link").symlink_to("run")
    folder = RunFolder(tmp_path / "link")
    assert folder.held(folder.summary) == folder.summary
    assert folder.read_summary() == {}
