"""A file of weights fits a model whatever wrapped the one that it was written from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError, StorageError
from prunekit.runs.building import load_weights
from prunekit.storage.tensorfile import write_tensors


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (("weight",), "has no 'bias'"),
        (("weight", "bias", "extra"), "the model has no 'extra'"),
        (("weight", "bias"), r"'weight' has shape \(2, 2\), the model has \(3, 2\)"),
    ],
)
def test_a_weights_file_that_does_not_fit_names_its_first_mistake(
    tmp_path: Path, names: tuple[str, ...], line: str
) -> None:
    path = tmp_path / "weights.safetensors"
    shapes = {"weight": (3, 2), "bias": (3,), "extra": (1,)}
    tensors = {name: torch.zeros(shapes[name]) for name in names}
    if names == ("weight", "bias"):
        tensors["weight"] = torch.zeros(2, 2)
    write_tensors(path, tensors)
    with pytest.raises(SpecError, match=line) as caught:
        load_weights(nn.Linear(2, 3), str(path))
    assert "\n" not in str(caught.value)


def test_a_tied_name_may_be_absent_from_the_weights_file(tmp_path: Path) -> None:
    first, second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"0.weight": torch.full((2, 2), 5.0)})
    load_weights(model, str(path))
    assert (second.weight == 5).all()


WRITTEN: dict[str, Any] = {
    "DDP": lambda state: {f"module.{name}": t for name, t in state.items()},
    "DDP(compile)": lambda state: {f"module._orig_mod.{name}": t for name, t in state.items()},
    "compiled layer": lambda state: {n.replace("1.", "1._orig_mod."): t for n, t in state.items()},
    "AveragedModel": lambda state: {
        "n_averaged": torch.tensor(3), **{f"module.{name}": t for name, t in state.items()}
    },
    "PEFT": lambda state: {
        f"base_model.model.{name.replace('1.', '1.base_layer.')}": t for name, t in state.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("wrapper", WRITTEN)
def test_weights_of_a_wrapped_model_are_those_of_the_bare_one(tmp_path: Path, wrapper: str) -> None:
    trained = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), nn.BatchNorm1d(2))
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(WRITTEN[wrapper](trained.state_dict()), path)
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), nn.BatchNorm1d(2))
    load_weights(model, str(path))
    assert torch.equal(weights_of(model), weights_of(trained))


def test_what_a_weight_is_computed_from_is_not_loaded_as_the_weight(tmp_path: Path) -> None:
    trained = nn.utils.parametrizations.orthogonal(
        nn.Linear(2, 2, bias=False), use_trivialization=False
    )
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({f"module.{n}": t for n, t in trained.state_dict().items()}, path)
    with pytest.raises(SpecError, match=r"the model has no 'module\.parametrizations\.weight"):
        load_weights(nn.Linear(2, 2, bias=False), str(path))
    again = nn.utils.parametrizations.orthogonal(
        nn.Linear(2, 2, bias=False), use_trivialization=False
    )
    load_weights(again, str(path))
    assert torch.equal(again.weight, trained.weight)


@pytest.mark.parametrize("name", ["net.pt", "pytorch_model.bin", "net.pth", "without ending"])
def test_a_pickle_of_weights_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / name)
    with pytest.raises(StorageError, match=r"is a pickle.*weights_only=True.*save_file"):
        load_weights(nn.Linear(2, 2), str(tmp_path / name))


def test_a_weights_file_that_is_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        load_weights(nn.Linear(2, 2), str(tmp_path / "none.safetensors"))
