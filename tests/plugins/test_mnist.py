"""MNIST and Fashion-MNIST, in tiny files of the genuine format."""

from __future__ import annotations

import struct

import pytest
from prunekit_plugins.fashion_mnist import FashionMNIST
from prunekit_plugins.mnist import MNIST
from torchvision import datasets

from prunekit import DataError


def write(folder, part, labels):
    """Image i of `part` has the value i in every pixel."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(labels)
    images = b"".join(bytes([i]) * 784 for i in range(count))
    header = struct.pack(">4i", 0x803, count, 28, 28)
    (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images)
    header = struct.pack(">2i", 0x801, count)
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + bytes(labels))


@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
def test_a_set_is_read_from_its_published_files(tmp_path, dataset):
    raw = tmp_path / dataset.__name__ / "raw"
    write(raw, "train", [3, 1, 9])
    write(raw, "t10k", [0, 2])
    data = dataset(path=str(tmp_path)).load()
    assert data.train.images.shape == (3, 1, 28, 28)
    assert data.train.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert data.train.labels.tolist() == [3, 1, 9]
    assert data.test.labels.tolist() == [0, 2]
    assert data.classes == 10
    assert data.input_shape == (1, 28, 28)


def test_a_truncated_file_is_refused_in_one_line(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    write(raw, "train", [3, 1, 9])
    write(raw, "t10k", [0, 2])
    file = raw / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"MNIST cannot be read from .*MNIST/raw/ there"):
        MNIST(path=str(tmp_path)).load()


@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
@pytest.mark.parametrize("download", [False, True])
def test_without_files_and_network_one_line_says_where_to_put_them(
    tmp_path, monkeypatch, dataset, download
):
    monkeypatch.setattr(getattr(datasets, dataset.__name__), "mirrors", ["file:///nowhere/"])
    with pytest.raises(DataError, match="MNIST/raw/ there") as caught:
        dataset(path=str(tmp_path / "new"), download=download).load()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
def test_a_file_of_the_published_size_has_the_published_sum(tmp_path, dataset):
    raw = tmp_path / dataset.__name__ / "raw"
    write(raw, "train", [3, 1, 9])
    write(raw, "t10k", [0, 2])
    header = struct.pack(">2i", 0x801, 10_000)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(header + bytes(10_000))
    with pytest.raises(DataError, match=r"raw/t10k-labels-idx1-ubyte is damaged: its MD5 is"):
        dataset(path=str(tmp_path)).load()


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08", b"\0\0\x08\x01\0\0", b"\0\0\x08\x01\0\0\0\x02\0", b"\0\0\x08\0"]
)
def test_a_damaged_file_is_named(tmp_path, content):
    raw = tmp_path / "MNIST" / "raw"
    write(raw, "train", [3, 1, 9])
    write(raw, "t10k", [0, 2])
    (raw / "train-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=r"raw/train-labels-idx1-ubyte is damaged: \d bytes"):
        MNIST(path=str(tmp_path)).load()
