"""Checkpoints of finished runs, and the names that a run folder may have."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from prunekit.cli.entry import main
from prunekit.errors import PrunekitError
from prunekit.runs.running import load
from prunekit.storage.runfolder import RunFolder
from tests import tinyruns
from tests.tinyruns import FUSE, assert_same, left_by, resume_tiny, tiny_spec

NEVER = 10**9


def test_a_finished_run_keeps_no_checkpoints_unless_asked(tmp_path: Path) -> None:
    FUSE.burn(NEVER)
    for keep in (False, True):
        out = tmp_path / str(keep)
        tinyruns.run_tiny(tiny_spec(train={"keep_checkpoints": keep}), out)
        assert (out / "checkpoints").exists() == keep
        assert (out / "summary.json").exists()


def test_a_resume_of_a_finished_run_says_so(tmp_path: Path) -> None:
    FUSE.burn(NEVER)
    tinyruns.run_tiny(tiny_spec(), tmp_path)
    said: list[str] = []
    resume_tiny(tmp_path, say=said.append)
    assert said == [f"{tmp_path} is finished already: nothing is left to do"]


def test_a_kill_before_they_are_removed_is_made_up_for(tmp_path: Path) -> None:
    FUSE.burn(NEVER)
    out, other = tmp_path / "done", tmp_path / "other"
    tinyruns.run_tiny(tiny_spec(train={"keep_checkpoints": False}), out)
    tinyruns.run_tiny(tiny_spec(), other)
    shutil.copytree(other / "checkpoints", out / "checkpoints")
    (out / "checkpoints" / "000001" / "notes.txt").write_text("mine")
    summary = resume_tiny(out).summary
    assert summary == json.loads((out / "summary.json").read_text())
    left = [path.name for path in (out / "checkpoints").rglob("*")]
    assert sorted(left) == ["000001", "notes.txt"]


def test_an_observer_that_fails_at_the_end_costs_no_finished_run(tmp_path: Path) -> None:
    spec = tiny_spec(train={"keep_checkpoints": False})
    FUSE.burn(NEVER)
    tinyruns.run_tiny(spec, tmp_path / "whole")
    FUSE.burn(FUSE.ticks)
    with pytest.raises(tinyruns.Died):
        tinyruns.run_tiny(spec, tmp_path / "run")
    assert (tmp_path / "run" / "summary.json").exists()


# -- names -----------------------------------------------------------------------------------------


def test_a_folder_whose_name_is_not_utf_8_is_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FUSE.burn(NEVER)
    tinyruns.run_tiny(tiny_spec(), tmp_path / "whole")
    run = Path(os.fsdecode(os.fsencode(tmp_path) + b"/run-\xff\xe9"))
    FUSE.burn(2 + 3 + 1)
    with pytest.raises(tinyruns.Died):
        tinyruns.run_tiny(tiny_spec(), run)
    FUSE.burn(NEVER)
    resume_tiny(run)
    assert_same(left_by(tmp_path / "whole"), left_by(run))
    model, masks, _ = load(run, plugins=tinyruns.plugins())
    assert masks.kept == RunFolder(run).read_summary()["kept"]
    assert sum(p.numel() for p in model.parameters()) > 0
    assert main(["show", str(run)]) == 0
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["x" * 256, "a\0b", "y" * 300 + "/run", "z/" * 3000])
def test_a_name_that_no_folder_can_have_is_one_line(name: str, tmp_path: Path) -> None:
    for call in (lambda path: tinyruns.run_tiny(tiny_spec(), path), resume_tiny, load):
        with pytest.raises(PrunekitError, match=r"File name too long|null (byte|character)"):
            call(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
