"""Masks: a mapping of bool tensors that counts, saves, loads and applies itself."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import nn

import prunekit
from prunekit.errors import SpecError, StorageError
from prunekit.selection.masks import LayerCount, Masks, foreign_masks, pack, unpack
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.tensorfile import write_tensors

HALF = torch.tensor([[True, False], [False, True], [True, False]])


def tiny_masks() -> Masks:
    return Masks({"0.weight": HALF, "1.weight": torch.zeros(2, 2, dtype=torch.bool)})


def tiny_model() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    return model


def test_masks_count_what_they_keep() -> None:
    masks = tiny_masks()
    assert (masks.kept, masks.total, masks.density) == (3, 10, 0.3)
    assert masks.per_layer() == [LayerCount("0.weight", 3, 6), LayerCount("1.weight", 0, 4)]
    assert [layer.density for layer in masks.per_layer()] == [0.5, 0.0]
    assert repr(masks) == "Masks(kept 3 of 10 = density 0.3, 2 layers, 1 empty)"


def test_masks_of_nothing_have_density_zero() -> None:
    nothing = Masks({"empty": torch.zeros(0, 5, dtype=torch.bool)})
    assert (nothing.kept, nothing.total, nothing.density) == (0, 0, 0.0)
    assert repr(nothing) == "Masks(kept 0 of 0 = density 0, 1 layer)"


def test_masks_are_a_mapping() -> None:
    masks = tiny_masks()
    assert list(masks) == ["0.weight", "1.weight"]
    assert len(masks) == 2
    assert masks["0.weight"] is HALF
    assert "bias" not in masks


def test_a_mask_that_is_not_bool_is_refused() -> None:
    with pytest.raises(SpecError, match=r"mask of a must be a bool tensor: list; use `s > t`"):
        Masks({"a": [True, False]})
    with pytest.raises(SpecError, match=r"the mask of a must be a bool tensor: torch.float32"):
        Masks({"a": torch.ones(2)})


some_masks = st.dictionaries(
    st.text(min_size=1, max_size=5).filter(lambda name: name != "__metadata__"),
    st.tuples(st.lists(st.integers(0, 9), max_size=3), st.integers(0, 99)),
    max_size=4,
)


@hypothesis.given(some_masks)
def test_saved_masks_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, described: dict[str, Any]
) -> None:
    masks = Masks(
        {
            name: torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5
            for name, (shape, seed) in described.items()
        }
    )
    path = tmp_path_factory.mktemp("masks") / "masks.safetensors"
    masks.save(path)
    loaded = Masks.load(path)
    assert list(loaded) == list(masks)
    assert all(torch.equal(loaded[name], masks[name]) for name in masks)
    assert loaded.digest() == masks.digest()


def test_a_mask_takes_one_bit_a_weight() -> None:
    packed = pack(torch.tensor([True, False, False, False, False, False, False, True, True]))
    assert packed.tolist() == [0b1000_0001, 0b1000_0000]
    assert unpack(torch.from_numpy(packed), [9]).tolist() == [True] + [False] * 6 + [True] * 2


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("something else", '{"a": [4]}'),
        ("prunekit masks", "no json"),
        ("prunekit masks", "[]"),
        ("prunekit masks", '{"b": [4]}'),
        ("prunekit masks", '{"a": [9]}'),
        ("prunekit masks", '{"a": [-2, -2]}'),
        ("prunekit masks", '{"a": [4.0]}'),
        ("prunekit masks", '{"a": "4"}'),
        ("prunekit masks", '{"a": 4}'),
        ("prunekit masks", '{"a": [1152921504606846976, 16, 0.25]}'),
    ],
)
def test_what_holds_no_masks_is_refused_in_one_line(kind: str, shapes: str, tmp_path: Path) -> None:
    text = {"kind": kind, "shapes": shapes}
    write_tensors(tmp_path / "m", {"a": torch.zeros(1, dtype=torch.uint8)}, text)
    with pytest.raises(StorageError, match=r"holds (no prunekit|damaged) masks") as error:
        Masks.load(tmp_path / "m")
    assert "\n" not in str(error.value)


def test_packed_masks_of_another_type_are_refused(tmp_path: Path) -> None:
    text = {"kind": "prunekit masks", "shapes": json.dumps({"a": [4]})}
    write_tensors(tmp_path / "m", {"a": torch.zeros(1)}, text)
    with pytest.raises(StorageError, match="damaged masks"):
        Masks.load(tmp_path / "m")


def test_applied_masks_zero_the_weights_and_nothing_else() -> None:
    model = tiny_model()
    Masks({"0.weight": HALF}).apply(model)
    assert model[0].weight.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert model[0].bias.tolist() == [1, 1, 1]
    assert model[1].weight.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_three_lines_put_masks_into_any_training_loop(make: Any) -> None:
    model, masks = tiny_model(), Masks({"0.weight": HALF})
    masks.apply(model)  # 1
    options = {"momentum": 0.9} if make is torch.optim.SGD else {}
    optimizer = make(model.parameters(), lr=0.1, weight_decay=0.1, **options)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.tensor([[1.0, 2.0]])).sum().backward()
        optimizer.step()
        masks.apply(model, optimizer)  # 2 (3 is the import)
        state = [t for t in optimizer.state[model[0].weight].values() if t.shape == HALF.shape]
        for tensor in (model[0].weight, *state):
            assert not tensor[~HALF].any()
            assert tensor[HALF].all()


@pytest.mark.parametrize(
    ("name", "mask", "have"),
    [
        ("0.weight", HALF.t(), r"\(2, 3\), the model has \(3, 2\)"),
        ("nothing", HALF, r"\(3, 2\), the model has no such parameter"),
    ],
)
def test_masks_of_another_model_are_refused(name: str, mask: torch.Tensor, have: str) -> None:
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(SpecError, match=f"mask {name} has shape {have}; give the model"):
        Masks({"1.weight": torch.zeros(1, 3).bool(), name: mask}).apply(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_masked_model_is_a_plain_model() -> None:
    model = tiny_model()
    keys = list(model.state_dict())
    masks = prunekit.prune(model, "magnitude", density=0.5, allocation="layer")
    assert list(model.state_dict()) == keys
    twin = copy.deepcopy(model)
    x = torch.tensor([[1.0, -2.0]])
    assert torch.equal(twin(x), model(x))
    compiled = torch.compile(model, backend="eager")
    assert torch.equal(compiled(x), model(x))
    assert not any(module._forward_pre_hooks for module in model.modules())
    masks.apply(twin)
    assert torch.equal(twin(x), model(x))


def test_equal_masks_have_equal_digests() -> None:
    same = Masks({name: mask.clone() for name, mask in tiny_masks().items()})
    assert same.digest() == tiny_masks().digest()
    flipped = Masks({**tiny_masks(), "0.weight": ~HALF})
    renamed = Masks({"0.bias": HALF, "1.weight": tiny_masks()["1.weight"]})
    turned = Masks({**tiny_masks(), "0.weight": HALF.reshape(2, 3)})
    assert len({m.digest() for m in (tiny_masks(), flipped, renamed, turned)}) == 4


def test_masks_move_between_devices() -> None:
    moved = tiny_masks().to("cpu")
    assert moved.digest() == tiny_masks().digest()


def test_foreign_masks_come_in_the_order_of_the_weights(tmp_path: Path) -> None:
    masks = {"a": torch.tensor([True]), "b": torch.tensor([False, True])}
    Masks(masks).save(RunFolder(tmp_path).masks)
    weights = {"b": torch.ones(2), "a": torch.ones(1)}
    for source in (tmp_path, tmp_path / "masks.safetensors"):
        taken = foreign_masks(str(source), weights)
        assert [(name, mask.tolist()) for name, mask in taken.items()] == [
            ("b", [False, True]),
            ("a", [True]),
        ]
    wrapped = {f"module.{name}": mask for name, mask in masks.items()}
    Masks(wrapped).save(tmp_path / "wrapped.safetensors")
    assert [*foreign_masks(str(tmp_path / "wrapped.safetensors"), weights)] == ["b", "a"]
    with pytest.raises(SpecError, match=r"has shape \(1,\) for a of shape \(3,\)"):
        foreign_masks(str(tmp_path), {"a": torch.ones(3)})
    with pytest.raises(SpecError, match=r"has no mask for c of shape \(3,\)"):
        foreign_masks(str(tmp_path), {"c": torch.ones(3)})
    with pytest.raises(StorageError, match="cannot read"):
        foreign_masks(str(tmp_path / "nothing"), weights)
