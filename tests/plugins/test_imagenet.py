"""ImageNet in its usual folders."""

from __future__ import annotations

import pytest
from PIL import Image
from prunekit_plugins.imagenet import ImageNet

from prunekit import DataError, DataOptions
from prunekit.data.splits import Batches, prepare


@pytest.fixture
def folder(tmp_path):
    for part, sizes in (("train", [(300, 200), (50, 70)]), ("val", [(230, 500)])):
        for name in ("n01", "n02"):
            (tmp_path / part / name).mkdir(parents=True)
            for i, size in enumerate(sizes):
                Image.new("RGB", size).save(tmp_path / part / name / f"{i}.JPEG")
    return tmp_path


@pytest.mark.parametrize("size", [None, 32])
def test_images_of_any_size_are_streamed_at_one_size(folder, size):
    data = prepare(ImageNet(path=str(folder)).load(), DataOptions(size=size), seed=0)
    side = size or 224
    assert data.input_shape == (3, side, side)
    for split, augment in ((data.train, "flip-crop"), (data.test, "none")):
        (x, y), *_ = Batches(split, data, 4, augment=augment).epoch(0)
        assert x.shape == (len(split), 3, side, side)
        assert sorted(y.tolist()) == sorted(split.labels.tolist())


def test_a_missing_class_and_an_empty_file_are_found_without_reading_images(folder):
    (folder / "val" / "n02" / "0.JPEG").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        ImageNet(path=str(folder)).load()
    (folder / "val" / "n02").rename(folder / "val" / "n03")
    with pytest.raises(DataError, match="class 'n02' is missing"):
        ImageNet(path=str(folder)).load()
