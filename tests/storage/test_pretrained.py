"""Folders that save_pretrained wrote: whole or in parts, and what is wrong with others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from prunekit.errors import PrunekitError, StorageError
from prunekit.storage.pretrained import fitted, read_weights

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
TENSORS = {"a.weight": torch.full((2, 3), 1.0), "b.weight": torch.full((4,), 2.0)}


def in_parts(folder: Path, **places: object) -> Path:
    """A folder of two parts; `places`: entries of its index that are others."""
    save_file({"a.weight": TENSORS["a.weight"]}, folder / FIRST)
    save_file({"b.weight": TENSORS["b.weight"]}, folder / SECOND)
    weight_map = {"a.weight": FIRST, "b.weight": SECOND} | places
    whole = {"metadata": {"total_size": 40}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(whole))
    return folder


def assert_tensors(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in found)


def test_a_folder_of_one_file_a_folder_of_parts_and_a_file_give_their_tensors(
    tmp_path: Path,
) -> None:
    (tmp_path / "parts").mkdir()
    assert_tensors(read_weights(in_parts(tmp_path / "parts")))
    for stem in ("model", "diffusion_pytorch_model"):
        (folder := tmp_path / stem).mkdir()
        save_file(TENSORS, folder / f"{stem}.safetensors")
        assert_tensors(read_weights(folder))
        assert_tensors(read_weights(folder / f"{stem}.safetensors"))


def test_a_part_may_be_a_link_as_in_the_cache_of_the_hub(tmp_path: Path) -> None:
    (folder := tmp_path / "snapshot").mkdir()
    in_parts(folder)
    (folder / FIRST).rename(tmp_path / "blob")
    (folder / FIRST).symlink_to(tmp_path / "blob")
    assert_tensors(read_weights(folder))


def test_a_part_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    in_parts(tmp_path)
    whole = (tmp_path / SECOND).read_bytes()
    (tmp_path / SECOND).write_bytes(whole[:-3])
    with pytest.raises(StorageError, match=f"cannot read .*{SECOND}"):
        read_weights(tmp_path)
    (tmp_path / SECOND).unlink()
    with pytest.raises(StorageError, match=f"{SECOND} is missing, which {INDEX} names"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("places", "line"),
    [
        ({"c.weight": SECOND}, f"{SECOND} lacks 'c.weight', and {INDEX} says otherwise"),
        ({"a.weight": SECOND}, f"{SECOND} lacks 'a.weight', and {INDEX} says otherwise"),
        ({"a.weight": f"../{FIRST}"}, "beside it is expected"),
        ({"a.weight": "/etc/model.safetensors"}, "beside it is expected"),
        ({"a.weight": f"..\\{FIRST}"}, "beside it is expected"),
        ({"a.weight": "pytorch_model.bin"}, "beside it is expected"),
        ({"a.weight": f"a\nb{FIRST}"}, "beside it is expected"),
        ({"a.weight": 3}, "beside it is expected"),
        ({"a.weight": [FIRST]}, "beside it is expected"),
    ],
)
def test_an_index_that_tells_no_truth_is_refused(
    tmp_path: Path, places: dict[str, object], line: str
) -> None:
    with pytest.raises(StorageError, match=line) as caught:
        read_weights(in_parts(tmp_path, **places))
    assert "\n" not in str(caught.value)


def test_a_tensor_that_an_index_does_not_name_is_refused(tmp_path: Path) -> None:
    in_parts(tmp_path)
    save_file(TENSORS, tmp_path / FIRST)
    with pytest.raises(StorageError, match=f"{FIRST} has 'b.weight'"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": [1]}', "[" * 5000, "\xff"]
)
def test_an_index_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_bytes(text.encode("latin-1"))
    with pytest.raises(StorageError, match=f"{INDEX} (is damaged|names no tensor)"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (["pytorch_model.bin"], "only pytorch_model.bin, which is not read.*save_pretrained"),
        (["pytorch_model.bin.index.json"], "only pytorch_model.bin.index.json"),
        (["adapter_model.safetensors"], r"only an adapter \(adapter_model.safetensors\); merge it"),
        (["model.fp16.safetensors"], "if model.fp16.safetensors holds the weights, give"),
        (["config.json"], "give a safetensors file, or the folder"),
        ([], "has no model.safetensors and no model.safetensors.index.json"),
    ],
)
def test_a_folder_without_a_model_says_what_to_do(
    tmp_path: Path, files: list[str], line: str
) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(PrunekitError, match=line):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("given", "wanted", "named"),
    [
        (["a", "b.c"], ["a", "b.c", "d"], ["a", "b.c"]),
        (["bert.a", "bert.b.c"], ["a", "b.c"], ["a", "b.c"]),
        (["a", "b.c"], ["net.model.a", "net.model.b.c"], ["net.model.a", "net.model.b.c"]),
        (["model.a", "head"], ["a", "head"], ["model.a", "head"]),  # no prefix of all
        (["a"], ["x.a", "y.a"], ["a"]),  # two prefixes fit
        (["x.y.a", "x.y.b"], ["y.a", "y.b"], ["y.a", "y.b"]),
        ([], ["a"], []),
    ],
)
def test_names_lose_or_get_the_one_prefix_with_which_all_fit(
    given: list[str], wanted: list[str], named: list[str]
) -> None:
    tensors = {name: torch.tensor(place) for place, name in enumerate(given)}
    found = fitted(tensors, wanted)
    assert list(found) == named
    assert [int(tensor) for tensor in found.values()] == list(range(len(given)))
