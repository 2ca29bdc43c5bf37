"""Tiny ImageNet in the layout of its archive."""

from __future__ import annotations

import pytest
from PIL import Image
from prunekit_plugins.tiny_imagenet import TinyImageNet

from prunekit import DataError


@pytest.fixture
def folder(tmp_path):
    for name in ("n01", "n02"):
        images = tmp_path / "train" / name / "images"
        images.mkdir(parents=True)
        (tmp_path / "train" / name / f"{name}_boxes.txt").write_text("0 0 1 1")
        for i in range(2):
            Image.new("RGB", (64, 64)).save(images / f"{name}_{i}.JPEG")
    images = tmp_path / "val" / "images"
    images.mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (64, 64), (0, i, 0)).save(images / f"val_{i}.JPEG")
    lines = [
        "val_0.JPEG\tn02\t0\t0\t62\t62",
        "val_1.JPEG\tn01\t0\t0\t9\t9",
        "val_2.JPEG\tn02\t1\t1\t9\t9",
    ]
    (tmp_path / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("memory", [2.0, 0.0])
def test_the_annotated_validation_images_are_the_test_set(folder, memory):
    data = TinyImageNet(path=str(folder), memory=memory).load()
    assert data.class_names == ("n01", "n02")
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert data.test.labels.tolist() == [0, 1, 1]
    assert data.input_shape == (3, 64, 64)
    assert (data.train.images is None) == (memory == 0)


def test_what_the_annotations_lack_is_named(folder):
    (folder / "val" / "images" / "val_1.JPEG").unlink()
    with pytest.raises(DataError, match=r"val_1\.JPEG is missing"):
        TinyImageNet(path=str(folder)).load()
    table = folder / "val" / "val_annotations.txt"
    table.write_text("val_0.JPEG\tn09\n")
    with pytest.raises(DataError, match="line 1: expected a file and a class"):
        TinyImageNet(path=str(folder)).load()
    table.unlink()
    with pytest.raises(DataError, match=r"val_annotations\.txt is missing"):
        TinyImageNet(path=str(folder)).load()


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(DataError, match="train is no folder"):
        TinyImageNet(path=str(tmp_path)).load()
