"""Runs on image files of which some hold no image: counted, recorded, the same at every resume."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

import prunekit
from prunekit.cli.entry import main
from prunekit.errors import DataError, SpecError
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.runs.running import evaluate_run, resume

NET = """
from torch import nn

def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(75, classes))
"""


def fill(root: Path, *, backwards: bool = False) -> Path:
    """Two classes of four images in train and test, of which train/a/1.png is cut off."""
    names = [
        f"{split}/{name}/{i}.png" for split in ("train", "test") for name in "ab" for i in "0123"
    ]
    for number, name in sorted(enumerate(names), reverse=backwards):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((5, 5), 3 * number).convert("RGB").save(root / name)
        if name != "train/a/1.png":
            Image.new("RGB", (5, 5), (number, 9, 0)).save(root / name)
    bad = root / "train" / "a" / "1.png"
    bad.write_bytes(bad.read_bytes()[:-20])
    return root


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "net.py").write_text(NET)
    return {
        "arch": f"{tmp_path}/net.py:build",
        "dataset": {"name": "folder", "path": str(fill(tmp_path / "images"))},
        "scorer": "magnitude",
        "train": {"epochs": 1},
        "data": {"skip_bad": 1},
        "device": "cpu",
        "observers": [],
    }


def done(spec: dict[str, object], out: Path) -> prunekit.Result:
    return prunekit.run(structure(spec, Plugins()), out)


def test_a_run_refuses_a_bad_file_before_it_starts(tmp_path: Path, spec: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"train/a/1\.png is damaged"):
        done({**spec, "data": {}}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:1 of 16 image files")
def test_a_run_counts_what_it_leaves_out_whatever_the_order_on_disk(
    tmp_path: Path, spec: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    first = done(spec, tmp_path / "out")
    assert first.summary["bad_files"] == 1
    recorded = json.loads((tmp_path / "out" / "components.json").read_text())
    assert recorded["bad_files"] == [str(tmp_path / "images" / "train" / "a" / "1.png")]
    assert main(["show", str(tmp_path / "out")]) == 0
    assert "bad image files left out" in capsys.readouterr().out
    os.rename(tmp_path / "images", tmp_path / "before")
    fill(tmp_path / "images", backwards=True)
    again = done(spec, tmp_path / "again")
    assert again.summary["masks_sha256"] == first.summary["masks_sha256"]
    assert again.summary["test.loss"] == first.summary["test.loss"]


@pytest.mark.filterwarnings("ignore:1 of 16 image files")
def test_a_run_that_goes_on_leaves_the_same_files_out_or_refuses(
    tmp_path: Path, spec: dict[str, object]
) -> None:
    first = done(spec, tmp_path / "out")
    (tmp_path / "out" / "summary.json").unlink()
    assert resume(tmp_path / "out").summary["test.loss"] == first.summary["test.loss"]
    assert evaluate_run(tmp_path / "out")["test.loss"] == first.summary["test.loss"]
    (tmp_path / "out" / "summary.json").unlink()
    Image.new("RGB", (5, 5)).save(tmp_path / "images" / "train" / "a" / "1.png")
    with pytest.raises(DataError, match=r"others than at the start .*1: .*a/1\.png; restore"):
        resume(tmp_path / "out")


def test_a_data_set_without_image_files_cannot_leave_any_out(tmp_path: Path) -> None:
    spec = {"dataset": "digits", "data": {"skip_bad": 3}, "observers": []}
    with pytest.raises(SpecError, match=r"data\.skip_bad = 3 cannot act: Digits reads no image"):
        done(spec, tmp_path / "out")


@pytest.mark.filterwarnings("ignore:1 of 16 image files")
def test_the_command_line_has_a_flag_for_it(
    tmp_path: Path, spec: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["run", "--arch", str(spec["arch"]), "--dataset", "folder", "--scorer", "magnitude"]
    flags += ["--dataset.path", str(tmp_path / "images"), "--train.epochs", "0"]
    assert main([*flags, "--out", str(tmp_path / "out")]) == 2
    assert "train/a/1.png is damaged" in capsys.readouterr().err
    assert main([*flags, "--data.skip-bad", "1", "--out", str(tmp_path / "out")]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["bad_files"] == 1
