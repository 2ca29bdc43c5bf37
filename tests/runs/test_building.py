"""A spec becomes a model: seeded, with weights loaded, drawn or redrawn as the spec says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from prunekit_plugins.default import Default
from prunekit_plugins.kaiming_normal import KaimingNormal
from prunekit_plugins.kaiming_uniform import KaimingUniform
from prunekit_plugins.mlp import MLP
from prunekit_plugins.signed_constant import SignedConstant
from prunekit_plugins.uniform import Uniform
from torch import Tensor, nn

from prunekit.data.splits import Data, Split
from prunekit.draws import chance
from prunekit.draws.chance import generator
from prunekit.errors import PluginError, SpecError
from prunekit.network.laws import law_of, redraw_zeros
from prunekit.network.layers import maskable_layers
from prunekit.resolve.filling import resolve
from prunekit.resolve.plugins import Plugins
from prunekit.runs.building import Built, build_model, check_output
from prunekit.spec.sections import Spec
from prunekit.storage.tensorfile import write_tensors


def data(*shape: int, classes: int = 3) -> Data:
    split = Split(torch.zeros(2, *shape, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    return Data(train=split, test=split, classes=classes, input_shape=shape)


def built_of(spec: Spec, examples: Data) -> Built:
    return build_model(resolve(spec, Plugins()), examples)


IMAGES = data(1, 4, 4)
SPEC = Spec(arch=MLP(hidden=(5,)), init=Default())


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@attrs.frozen
class Law:
    law: Any

    def quantile(self, layer: Any) -> Any:
        return self.law


@attrs.frozen
class Flat:
    def draw(self, layer: Any, rng: torch.Generator) -> Tensor:
        return torch.zeros(layer.parameter.numel())


@pytest.mark.parametrize(
    ("init", "line"),
    [
        (Law(torch.zeros(3)), r"init Law\.quantile must return a callable, from words to float32"),
        (Law(lambda words: words.double()), r"init Law\.quantile must return a callable"),
        (Law(lambda words: words.sum().float()), r"init Law\.quantile must return a callable"),
        (Flat(), r"init Flat\.draw must return values of shape \(5, 16\)"),
    ],
)
def test_an_init_that_breaks_its_contract_is_named(init: Any, line: str) -> None:
    with pytest.raises(PluginError, match=line):
        built_of(Spec(arch=MLP(hidden=(5,)), init=init), IMAGES)


def test_equal_specs_give_equal_bits_and_another_seed_other_weights() -> None:
    torch.manual_seed(1)
    first = weights_of(built_of(SPEC, IMAGES).model)
    torch.manual_seed(2)
    assert torch.equal(first, weights_of(built_of(SPEC, IMAGES).model))
    other = built_of(attrs.evolve(SPEC, seed=1), IMAGES)
    assert not torch.equal(first, weights_of(other.model))


def test_the_global_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    built = built_of(SPEC, IMAGES)
    built.law("1.weight", generator(0, "law"))
    assert torch.equal(before, torch.get_rng_state())
    assert built.model.training


def test_a_named_init_draws_every_maskable_weight_and_no_bias() -> None:
    as_built = built_of(SPEC, IMAGES).model
    named = built_of(attrs.evolve(SPEC, init=KaimingUniform()), IMAGES).model
    assert torch.equal(as_built[1].bias, named[1].bias)
    layer = maskable_layers(named)["3.weight"]
    words = chance.words(0, "init", "3.weight", 15)
    assert torch.equal(named[3].weight, KaimingUniform().quantile(layer)(words).view(3, 5))


class Named(nn.Module):
    """An output under a name that nobody knows."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"scores": x.flatten(1)[:, :3]}


class Branch(nn.Module):
    """A residual net whose branch and head start at zero, as in timm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 4)
        self.norm = nn.LayerNorm(4)
        self.shift = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 3)
        for gain in (self.norm.weight, self.shift.weight, self.head.weight, self.head.bias):
            nn.init.zeros_(gain)
        self.gain = nn.Parameter(torch.zeros(4))  # as of a weight-standardised convolution
        self.scale = nn.Parameter(torch.zeros(4))  # LayerScale is no norm

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        return self.head(x + self.shift(self.norm(x)) * self.gain * self.scale)


@attrs.frozen
class Branches:
    pretrained: bool = False

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        return Branch()


def test_zero_weights_and_zero_norm_gains_are_redrawn_and_named() -> None:
    built = built_of(attrs.evolve(SPEC, arch=Branches()), IMAGES)
    assert built.redrawn == ["gain", "norm.weight", "shift.weight", "head.weight"]
    assert isinstance(built.model, Branch)
    assert built.model.norm.weight.tolist() == [1, 1, 1, 1]
    assert 0 < built.model.head.weight.abs().max() <= 0.5  # 1 / sqrt(4)
    assert not built.model.head.bias.any()
    assert not built.model.scale.any()


def test_a_named_init_leaves_only_norm_gains_to_redraw() -> None:
    built = built_of(attrs.evolve(SPEC, arch=Branches(), init=KaimingUniform()), IMAGES)
    assert built.redrawn == ["gain", "norm.weight", "shift.weight"]


def test_redrawing_a_net_without_zeros_changes_nothing() -> None:
    model = MLP(hidden=(5,)).build((1, 4, 4), 3)
    before = weights_of(model)
    assert redraw_zeros(model, Default(), 0) == []
    assert torch.equal(before, weights_of(model))


def test_pretrained_weights_are_never_redrawn() -> None:
    built = built_of(attrs.evolve(SPEC, arch=Branches(pretrained=True)), IMAGES)
    assert built.redrawn == []
    assert isinstance(built.model, Branch)
    assert not built.model.head.weight.any()
    with pytest.raises(SpecError, match=r"head\.weight cannot be redrawn: pretrained"):
        built.law("head.weight", generator(0))


def test_the_law_draws_on_the_dtype_of_the_weight() -> None:
    model = nn.Linear(6, 4).double()
    values = law_of(model, KaimingUniform())("weight", generator(0))
    assert (values.dtype, values.shape) == (torch.float64, (4, 6))
    with pytest.raises(SpecError, match="no parameter 'wait'"):
        law_of(model, KaimingUniform())("wait", generator(0))


@pytest.mark.parametrize("init", [KaimingUniform(), Default()])
def test_the_law_draws_single_elements_as_it_draws_the_whole(init: Any) -> None:
    model, elements = nn.Linear(6, 4), torch.tensor([23, 0, 7])
    law = law_of(model, init, seed=5).numbered(2)
    whole, some = law("weight", generator(1)), law("weight", generator(1), elements)
    assert torch.equal(some, whole.flatten()[elements])


def test_draw_zero_is_the_initial_weight_and_every_other_draw_differs() -> None:
    spec = attrs.evolve(SPEC, init=KaimingUniform(), seed=3)
    built = built_of(spec, IMAGES)
    first, second = (built.law.numbered(n)("1.weight", generator(0)) for n in (0, 1))
    assert torch.equal(first, built.model.get_parameter("1.weight"))
    assert not (first == second).any()
    assert torch.equal(second, built.law.numbered(1)("1.weight", generator(9)))  # no rng in it


class Gains(nn.Module):
    """A vector among the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))


@pytest.mark.parametrize("init", [KaimingUniform(), KaimingNormal(), SignedConstant()])
def test_an_init_that_needs_fan_in_refuses_a_vector_in_one_line(init: Any) -> None:
    law = law_of(Gains(), init)
    with pytest.raises(SpecError, match=r"has shape \(4,\) and so no fan-in, .*leave it out"):
        law("weight", generator(0))
    assert law_of(Gains(), Uniform())("weight", generator(0)).shape == (4,)


def test_weights_come_from_a_file_and_are_not_redrawn(tmp_path: Path) -> None:
    trained = built_of(attrs.evolve(SPEC, seed=9), IMAGES).model
    nn.init.zeros_(trained[3].weight)
    path = tmp_path / "trained.safetensors"
    write_tensors(path, trained.state_dict())
    built = built_of(attrs.evolve(SPEC, weights=str(path)), IMAGES)
    assert torch.equal(weights_of(built.model), weights_of(trained))
    assert built.redrawn == []


def test_a_run_starts_from_the_folder_of_a_pretrained_model(tmp_path: Path) -> None:
    model = MLP(hidden=(5,)).build((1, 4, 4), 3)
    state = {f"net.{name}": tensor for name, tensor in model.state_dict().items()}
    write_tensors(tmp_path / "model.safetensors", state)
    built = built_of(attrs.evolve(SPEC, weights=str(tmp_path)), IMAGES).model
    assert torch.equal(weights_of(built), weights_of(model))


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 3)), "cannot take 1x4x4 inputs"),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 4)), r"gives \(2, 4\) for 2 inputs"),
        (Named(), r"gives a dict; let it give logits \(batch, 3\), or an object .* as \.logits$"),
        (nn.Flatten(0), r"gives \(32,\)"),
    ],
)
def test_a_net_that_does_not_fit_the_data_is_refused(model: nn.Module, line: str) -> None:
    with pytest.raises(SpecError, match=line):
        check_output(model, torch.zeros(2, 1, 4, 4), 3)


def test_checking_the_output_leaves_modes_and_buffers_alone() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout().eval(), nn.Flatten(), nn.Linear(16, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_output(model, torch.zeros(2, 1, 4, 4), 3)
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@attrs.frozen
class Nothing:
    def build(self, input_shape: tuple[int, ...], classes: int) -> Any:
        return None


def test_an_architecture_that_builds_no_module_is_refused() -> None:
    with pytest.raises(SpecError, match="returned NoneType"):
        built_of(attrs.evolve(SPEC, arch=Nothing()), IMAGES)
