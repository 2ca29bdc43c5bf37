"""Runs on image files of which some hold no image: counted, recorded, the same at every resume."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

import prunekit
from prunekit.cli.entry import main
from prunekit.data.splits import Data, Split
from prunekit.errors import DataError, SpecError
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.runs.provenance import left_out, refuse_other_files
from prunekit.runs.running import evaluate_run, resume
from prunekit.storage.runfolder import RunFolder

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
    name = str(tmp_path / "images" / "train" / "a" / "1.png")
    digest = hashlib.sha256(name.encode()).hexdigest()
    assert recorded["bad_files"] == {"count": 1, "sha256": digest, "first": [name]}
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
    with pytest.raises(DataError, match=r"others .* \(1 then, 0 now\): .*a/1\.png; restore"):
        resume(tmp_path / "out")
    with pytest.warns(UserWarning, match=r"1 then, 0 now.*a/1\.png; going on with these"):
        again = resume(tmp_path / "out", allow_changed=True)
    assert again.summary["bad_files"] == 0


def data_without(names: list[str]) -> Data:
    images, labels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    split = Split(images, labels)
    return Data(train=split, test=split, classes=1, input_shape=(1, 1, 1), bad_files=tuple(names))


def test_a_record_of_many_bad_files_is_short_and_notices_each(tmp_path: Path) -> None:
    """Also one that holds all the names, as prunekit 0.2.0 wrote it."""
    names = [f"/data/imagenet/train/n01440764/n01440764_{i:05}.JPEG" for i in range(150_000)]
    folder = RunFolder(tmp_path)
    for record in (left_out(data_without(names)), {"bad_files": names}):
        folder.write_json(folder.components, record)
        kept = folder.read_components()
        refuse_other_files(kept, data_without(names), allow_changed=False)
        with pytest.raises(DataError, match=r"150000 then, 149999 now\): none of the first 20;"):
            refuse_other_files(kept, data_without(names[:-1]), allow_changed=False)
    folder.write_json(folder.components, left_out(data_without(names)))
    assert folder.components.stat().st_size < 2000


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
