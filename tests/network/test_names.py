"""A parameter has one name, whatever wraps the model or computes the weight."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.parallel import DataParallel
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from prunekit.network.names import (
    layers_of,
    load_state,
    paths_of,
    state_names,
    state_of,
    undistributed,
    unwrapped,
)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


NAMES = ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"]


def compiled(model: nn.Module) -> Any:
    return torch.compile(model, backend="eager")


def compiled_part() -> nn.Module:
    model = net()
    model[2] = compiled(model[2])
    return model


def checkpointed_part() -> nn.Module:
    model = net()
    model[0] = checkpoint_wrapper(model[0])
    return model


def compiled_in_place() -> nn.Module:
    model = net()
    model.compile(backend="eager")
    return model


WRAPPED: dict[str, Callable[[], nn.Module]] = {
    "bare": net,
    "compiled": lambda: compiled(net()),
    "compiled in place": compiled_in_place,
    "compiled part": compiled_part,
    "checkpointed part": checkpointed_part,
    "parallel": lambda: DataParallel(net()),
    "averaged": lambda: AveragedModel(net()),
    "all": lambda: compiled(DataParallel(AveragedModel(compiled(compiled_part())))),
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_names_order_owners_and_identity_are_those_of_the_bare_model(wrap: str) -> None:
    model = WRAPPED[wrap]()
    layers = layers_of(model)
    assert list(layers) == NAMES
    assert [layer.parameter for layer in layers.values()] == [*model.parameters()]
    for name, layer in layers.items():
        assert layer.name == name
        assert layer.module_name == name.partition(".")[0]
        assert getattr(layer.module, name.rpartition(".")[2]) is layer.parameter


@pytest.mark.parametrize("wrap", WRAPPED)
def test_the_state_of_a_wrapped_model_fits_the_bare_one(wrap: str) -> None:
    model, bare = WRAPPED[wrap](), net()
    state = {name: value for name, value in state_of(model).items() if name != "n_averaged"}
    assert list(state) == list(bare.state_dict())
    load_state(bare, state)
    assert all(torch.equal(bare.state_dict()[name], value) for name, value in state.items())
    parameters = dict(model.named_parameters())
    assert [parameters[path] for path in paths_of(model)] == [*model.parameters()]


@pytest.mark.parametrize("wrap", ["compiled", "parallel", "averaged"])
def test_unwrapped_takes_off_what_only_wraps(wrap: str) -> None:
    assert type(unwrapped(WRAPPED[wrap]())) is nn.Sequential


def test_without_distribution_nothing_is_taken_off() -> None:
    model = compiled(DataParallel(net()))
    assert undistributed(model) is model


class Own(nn.Module):
    """Attributes of a user's own that are called like those of wrappers."""

    def __init__(self) -> None:
        super().__init__()
        self.module, self._orig_mod = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.base_layer, self.weight_orig = nn.Linear(2, 2, bias=False), nn.Parameter(torch.ones(2))


OWN = ["weight_orig", "module.weight", "_orig_mod.weight", "base_layer.weight"]


def test_attributes_of_ones_own_that_are_called_like_wrappers_stay() -> None:
    assert list(layers_of(Own())) == OWN
    assert list(layers_of(compiled(DataParallel(Own())))) == OWN
    assert list(layers_of(nn.Sequential(OrderedDict(module=nn.Linear(1, 1))))) == [
        "module.weight", "module.bias",
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize(
    ("compute", "others"),
    [
        (parametrizations.weight_norm, ["0.parametrizations.weight.original0"]),
        (parametrizations.spectral_norm, []),
        (parametrizations.orthogonal, []),
        (nn.utils.spectral_norm, []),
        (nn.utils.weight_norm, ["0.weight_g"]),
        (lambda layer: prune.identity(layer, "weight"), []),
    ],
)
def test_what_a_weight_is_computed_from_has_its_name(
    compute: Callable[[nn.Module], nn.Module], others: list[str]
) -> None:
    model = net()
    compute(model[0])
    layers = layers_of(model)
    assert sorted(layers) == sorted([*NAMES, *others])
    assert layers["0.weight"].shape == (4, 3)
    assert layers["0.weight"].module is model[0]
    assert layers["0.weight"].module_name == "0"
    assert set(layers) <= set(state_names(model).values())
    assert list(layers_of(compiled(DataParallel(model)))) == list(layers)


def test_a_tied_weight_has_the_first_of_its_names() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    assert list(layers_of(AveragedModel(model))) == ["0.weight"]
    assert state_names(model) == {"0.weight": "0.weight", "1.weight": "1.weight"}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_a_scripted_model_has_the_names_of_the_plain_one() -> None:
    assert list(layers_of(torch.jit.script(net()))) == NAMES
