"""Your own images in one folder per class."""

from __future__ import annotations

import pytest
from PIL import Image
from prunekit_plugins.folder import Folder, prunekit_datasets

from prunekit import DataError


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
