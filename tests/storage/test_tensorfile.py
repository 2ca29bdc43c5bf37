"""Tensor files: what is written comes back, and nothing else is believed."""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import safetensors.torch
import torch
from hypothesis import strategies as st
from torch import Tensor

from prunekit.errors import StorageError
from prunekit.selection.masks import Masks
from prunekit.storage.tensorfile import KINDS, read_tensors, write_tensors

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
shapes = st.lists(st.integers(0, 3), max_size=3)


@hypothesis.given(
    st.dictionaries(
        st.text(max_size=5).filter(lambda name: name != "__metadata__"),
        st.tuples(shapes, st.sampled_from(DTYPES)),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)
def test_tensors_and_text_come_back(
    tmp_path_factory: pytest.TempPathFactory, described: dict[str, Any], text: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("round") / "some.safetensors"
    text.pop("sha256", None)
    given = {name: torch.ones(shape).to(dtype) for name, (shape, dtype) in described.items()}
    write_tensors(path, given, text)
    tensors, meta = read_tensors(path)
    assert sorted(tensors) == sorted(given)
    for name, tensor in given.items():
        assert (tensors[name].dtype, tensors[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(tensors[name], tensor)
    assert {key: value for key, value in meta.items() if key != "sha256"} == text


def test_equal_tensors_and_text_give_equal_bytes(tmp_path: Path) -> None:
    for number in range(4):
        text = {"kind": "k", "shapes": "[]", "else": "x"}
        write_tensors(tmp_path / str(number), {"b": torch.ones(2), "a": torch.zeros(3)}, text)
    assert len({(tmp_path / str(number)).read_bytes() for number in range(4)}) == 1


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_safetensors_reads_every_dtype_that_is_written(dtype: torch.dtype, tmp_path: Path) -> None:
    given = {
        'odd "name" \n é': torch.tensor([0, 1, 1]).to(dtype),
        "none": torch.zeros(2, 0).to(dtype),
        "one": torch.ones(1).double(),
        "bits": torch.tensor([True]),
    }
    write_tensors(tmp_path / "t", given)
    tensors = safetensors.torch.load_file(tmp_path / "t")
    assert tensors.keys() == given.keys()
    for name, tensor in tensors.items():
        assert (tensor.dtype, tensor.shape) == (given[name].dtype, given[name].shape)
        assert tensor.view(torch.uint8).tolist() == given[name].view(torch.uint8).tolist()


def test_the_bytes_are_those_of_safetensors(tmp_path: Path) -> None:
    given = {
        f"{dtype}/{number}": torch.ones(number).to(dtype) for dtype in DTYPES for number in (3, 1)
    }
    text = {"kind": "é", "sha256": write_tensors(tmp_path / "t", given, {"kind": "é"})}
    metadata = {"prunekit": json.dumps(text, sort_keys=True)}
    assert (tmp_path / "t").read_bytes() == safetensors.torch.save(given, metadata)


def test_a_dtype_that_safetensors_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"safetensors knows no torch.complex128; convert it"):
        write_tensors(tmp_path / "t", {"a": torch.ones(1, dtype=torch.complex128)})
    assert not any(tmp_path.iterdir())


def test_tied_and_strided_tensors_are_written_whole(tmp_path: Path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    given = {"whole": whole, "same": whole, "row": whole[1], "turned": whole.t()}
    write_tensors(tmp_path / "t", given)
    tensors, _ = read_tensors(tmp_path / "t")
    assert all(torch.equal(tensors[name], given[name]) for name in given)


def refused(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(StorageError) as error:
        read_tensors(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def header_of(entries: dict[str, Any], data: bytes) -> bytes:
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + data


def entry(*span: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [4], "data_offsets": list(span)}


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tensors here",
        pickle.dumps(Bomb()),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**30) + b"{}",
        struct.pack("<Q", 5) + b"{{{{{",
        header_of({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)),
        header_of({"a": entry(0, 9)}, bytes(4)),
        header_of({"a": entry(4, 0)}, bytes(4)),
        header_of({"a": {**entry(0, 4), "dtype": "OBJECT"}}, bytes(4)),
        header_of({"a": {**entry(0, 4), "shape": [-4]}}, bytes(4)),
        header_of({"__metadata__": {"prunekit": "[1]"}, "a": entry(0, 4)}, bytes(4)),
        header_of({"__metadata__": {"prunekit": "{"}, "a": entry(0, 4)}, bytes(4)),
    ],
    ids=str,
)
def test_what_is_no_tensor_file_is_refused(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(content)
    refused(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_pickle_is_named_and_the_cure_said(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "new.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    (tmp_path / "plain").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "cut.pth").write_bytes((tmp_path / "new.pt").read_bytes()[:100])
    for path in tmp_path.iterdir():
        assert "is a pickle" in refused(path)
        with pytest.raises(StorageError, match=r"torch\.load with weights_only=True"):
            Masks.load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none")
    refused(tmp_path)


def test_a_file_of_others_is_read_only_where_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"a": torch.ones(2)}, path, metadata={"format": "pt"})
    assert "was not written by prunekit" in refused(path)
    tensors, _ = read_tensors(path, foreign=True)
    assert tensors["a"].tolist() == [1, 1]


@pytest.fixture(params=["model", "masks"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.safetensors"
    rng = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=rng),
        "fc.weight": torch.randn(5, 7, generator=rng),
    }
    if request.param == "model":
        write_tensors(path, tensors)
    else:
        Masks({name: tensor > 0 for name, tensor in tensors.items()}).save(path)
    return path


def test_a_thousand_flipped_bytes_are_each_noticed(written: Path) -> None:
    whole, chance = written.read_bytes(), random.Random(0)
    for _ in range(1000):
        spoilt = bytearray(whole)
        spoilt[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        written.write_bytes(spoilt)
        refused(written)


def test_a_file_cut_short_is_refused(written: Path) -> None:
    whole = written.read_bytes()
    for length in range(0, len(whole), 16):
        written.write_bytes(whole[:length])
        refused(written)


def header(metadata: str, tensors: str = "") -> bytes:
    """A safetensors file of 4 zero bytes with this text as metadata."""
    body = '{"__metadata__":' + metadata + tensors + "}"
    content = body.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(content)) + content + bytes(4)


ONE = ',"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


@pytest.mark.parametrize(
    "metadata",
    [
        "3", "[]", "null", '"x"', "{}", '{"prunekit":3}', '{"prunekit":"["}', '{"prunekit":"null"}',
        '{"prunekit":"[[1,2]]"}', '{"prunekit":"[[[],2]]"}', '{"prunekit":"{}"}',
        '{"prunekit":"' + "[" * 50_000 + '"}', '{"prunekit":"' + "{'a':" * 50_000 + '"}',
        '{"prunekit":"' + "9" * 5000 + '"}', '{"prunekit":"{\\"sha256\\":NaN}"}',
        '{"prunekit":"{\\"sha256\\":[1]}"}', '{"prunekit":"{\\"kind\\":{}}"}',
        '{"prunekit":"\\ud800"}', '{"prunekit":"a","prunekit":"b"}', '{"kind":"prunekit ticket"}',
    ],
)  # fmt: skip
def test_odd_metadata_are_one_line(metadata, tmp_path):
    path = tmp_path / "t"
    path.write_bytes(header(metadata, ONE))
    with pytest.raises(StorageError, match=r"cannot read|is damaged"):
        read_tensors(path)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "\udcff"])
def test_a_path_that_cannot_be_is_one_line(name):
    with pytest.raises(StorageError, match="cannot read"):
        read_tensors(name)
    with pytest.raises(StorageError, match="cannot read"):
        read_tensors(f"{name}.pt")


def test_a_broken_archive_is_no_pickle_and_no_traceback(tmp_path):
    path = tmp_path / "t"
    path.write_bytes(b"PK\x05\x06" + bytes(2) + b"\xff" * 16)
    with pytest.raises(StorageError, match="cannot read"):
        read_tensors(path)
