"""Your own images in one folder per class."""

from __future__ import annotations

import pytest
from PIL import Image
from prunekit_plugins.folder import Folder, prunekit_datasets

import prunekit
from prunekit import DataError
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import structure
from prunekit.runs.running import evaluate_run, resume


def fill(folder, count=2):
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (5, 5), (i, 0, 0)).save(folder / name / f"{i}.png")


def test_the_plugin_offers_folder():
    assert prunekit_datasets() == {"folder": Folder}


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_test_or_val_is_the_test_set(tmp_path, held_out):
    fill(tmp_path / "train", 3)
    fill(tmp_path / held_out)
    data = Folder(path=str(tmp_path)).load()
    assert (len(data.train), len(data.test), data.validation) == (6, 4, None)


def test_with_both_val_is_the_validation_set(tmp_path):
    for count, name in enumerate(("train", "test", "val"), 1):
        fill(tmp_path / name, count)
    data = Folder(path=str(tmp_path)).load()
    assert (len(data.train), len(data.test), len(data.validation)) == (2, 4, 6)


def test_a_path_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"dataset\.path must be a folder .*: nothing"):
        Folder().load()
    with pytest.raises(DataError, match=r"dataset\.path must be a folder .*nowhere"):
        Folder(path=str(tmp_path / "nowhere")).load()


def test_a_missing_split_is_refused(tmp_path):
    fill(tmp_path / "test")
    with pytest.raises(DataError, match="train is no folder"):
        Folder(path=str(tmp_path)).load()
    (tmp_path / "test").rename(tmp_path / "train")
    with pytest.raises(DataError, match="has neither test/ nor val/"):
        Folder(path=str(tmp_path)).load()


NET = """
from torch import nn

def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(75, classes))
"""


def test_a_run_on_relative_paths_is_resumed_and_measured_from_anywhere(tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for name in ("train", "test"):
        fill(home / "images" / name, 4)
    elsewhere.mkdir()
    (home / "net.py").write_text(NET)
    monkeypatch.chdir(home)
    spec = {"arch": "net.py:build", "dataset": {"name": "folder", "path": "images"}}
    spec |= {"scorer": "magnitude", "train": {"epochs": 1}, "device": "cpu", "observers": []}
    done = prunekit.run(structure(spec, Plugins()), "out")
    monkeypatch.chdir(elsewhere)
    (home / "out" / "summary.json").unlink()
    again = resume(home / "out").summary
    assert again["masks_sha256"] == done.summary["masks_sha256"]
    assert (
        evaluate_run(home / "out")["test.loss"] == again["test.loss"] == done.summary["test.loss"]
    )
