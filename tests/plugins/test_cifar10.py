"""CIFAR-10 and CIFAR-100, in tiny files of the genuine format."""

from __future__ import annotations

import hashlib
import pickle  # the format of the published files

import numpy as np
import pytest
from prunekit_plugins.cifar10 import CIFAR10
from prunekit_plugins.cifar100 import CIFAR100
from torchvision import datasets

from prunekit import DataError


def write(file, content):
    """[name, md5] of a new file that holds `content`, as torchvision lists its files."""
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(pickle.dumps(content))
    return [file.name, hashlib.md5(file.read_bytes()).hexdigest()]


def batch(label_key, *labels):
    """Image i has the value i in its first (red) plane, 100 in green, 200 in blue."""
    planes = [[value] * 1024 for value in (0, 100, 200)]
    rows = np.array([sum(planes, [])] * len(labels), dtype=np.uint8)  # noqa: RUF017
    rows[:, :1024] = np.arange(len(labels))[:, None]
    return {"data": rows, label_key: list(labels)}


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    train = [write(folder / f"data_batch_{i}", batch("labels", i, 0)) for i in (1, 2)]
    meta = write(folder / "batches.meta", {"label_names": ["plane", "car", "bird"]})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    test = [write(folder / "test_batch", batch("labels", 2))]
    monkeypatch.setattr(datasets.CIFAR10, "test_list", test)
    keys = {"filename": meta[0], "key": "label_names", "md5": meta[1]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", keys)
    return tmp_path


@pytest.fixture
def cifar100(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-100-python"
    names = ["apple", "bee"]
    meta = write(folder / "meta", {"fine_label_names": names})
    for part, labels in (("train", (1, 0, 1)), ("test", (0, 1))):
        listed = [write(folder / part, batch("fine_labels", *labels))]
        monkeypatch.setattr(datasets.CIFAR100, f"{part}_list", listed)
    keys = {"filename": meta[0], "key": "fine_label_names", "md5": meta[1]}
    monkeypatch.setattr(datasets.CIFAR100, "meta", keys)
    return tmp_path


def test_cifar10_is_read_from_its_published_files(cifar10):
    data = CIFAR10(path=str(cifar10)).load()
    assert data.train.images.shape == (4, 3, 32, 32)
    assert data.train.images[1, :, 31, 31].tolist() == [1, 100, 200]
    assert data.train.labels.tolist() == [1, 0, 2, 0]
    assert data.test.labels.tolist() == [2]
    assert data.class_names == ("plane", "car", "bird")
    assert data.input_shape == (3, 32, 32)


def test_cifar100_has_its_fine_labels(cifar100):
    data = CIFAR100(path=str(cifar100)).load()
    assert data.train.labels.tolist() == [1, 0, 1]
    assert data.classes == 2


def test_a_damaged_file_is_refused_before_it_is_read(cifar10):
    file = cifar10 / "cifar-10-batches-py" / "data_batch_2"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"batches-py/data_batch_2 is corrupted: its MD5 is"):
        CIFAR10(path=str(cifar10), download=False).load()


def test_a_file_that_is_cut_off_is_named_where_it_cannot_be_fetched_again(cifar10, monkeypatch):
    monkeypatch.setattr(datasets.CIFAR10, "url", "file:///nowhere/x.tar.gz")
    file = cifar10 / "cifar-10-batches-py" / "test_batch"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"batches-py/test_batch is corrupted: its MD5 is"):
        CIFAR10(path=str(cifar10)).load()
    file.unlink()
    with pytest.raises(DataError, match=r"batches-py/test_batch is missing"):
        CIFAR10(path=str(cifar10), download=False).load()


@pytest.mark.parametrize("dataset", [CIFAR10, CIFAR100])
@pytest.mark.parametrize("download", [False, True])
def test_without_files_and_network_one_line_says_where_to_put_them(
    tmp_path, monkeypatch, dataset, download
):
    monkeypatch.setattr(getattr(datasets, dataset.__name__), "url", "file:///nowhere/x.tar.gz")
    with pytest.raises(DataError, match=r"put cifar-100?-[a-z-]+/ there") as caught:
        dataset(path=str(tmp_path / "new"), download=download).load()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()
