"""What is maskable, by rule, and how masks and changes reach the model."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.network.layers import maskable_layers
from prunekit.network.model import Network, put
from prunekit.network.modes import eval_mode
from prunekit.pruning.scoring import scoring_mode


def names(model: nn.Module) -> list[str]:
    return list(maskable_layers(model))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Linear(3, 2), ["weight"]),
        (nn.Conv1d(3, 2, 3), ["weight"]),
        (nn.Conv2d(4, 4, 3, groups=4), ["weight"]),
        (nn.ConvTranspose2d(3, 2, 3), ["weight"]),
        (nn.Embedding(5, 2), ["weight"]),
        (nn.LSTM(3, 2, num_layers=2), [f"weight_{k}h_l{n}" for n in (0, 1) for k in "ih"]),
        (nn.GRUCell(3, 2), ["weight_ih", "weight_hh"]),
        (nn.MultiheadAttention(4, 2), ["in_proj_weight", "out_proj.weight"]),
        (
            nn.MultiheadAttention(4, 2, kdim=3, vdim=5, add_bias_kv=True),
            ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"],
        ),
    ],
)
def test_projections_are_maskable_and_their_biases_are_not(
    module: nn.Module, expected: list[str]
) -> None:
    assert names(module) == expected


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(3),
        nn.GroupNorm(1, 3),
        nn.LayerNorm(3),
        nn.LayerNorm((3, 4, 4)),
        nn.RMSNorm((3, 4)),
        nn.InstanceNorm2d(3, affine=True),
        nn.PReLU(3),
    ],
)
def test_norms_and_activations_are_never_maskable(norm: nn.Module) -> None:
    assert names(nn.Sequential(nn.Linear(2, 2), norm)) == ["0.weight"]


def test_fused_qkv_is_maskable_and_tokens_are_not() -> None:
    model = timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=3, img_size=32)
    assert names(model) == [
        "patch_embed.proj.weight",
        "blocks.0.attn.qkv.weight",
        "blocks.0.attn.proj.weight",
        "blocks.0.mlp.fc1.weight",
        "blocks.0.mlp.fc2.weight",
        "head.weight",
    ]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.unembed = nn.Linear(4, 7, bias=False)
        self.unembed.weight = self.embed.weight


def test_tied_weights_are_one_layer_and_both_places_see_the_mask() -> None:
    model = Tied()
    assert names(model) == ["embed.weight"]
    mask = torch.zeros(7, 4, dtype=torch.bool)
    Network.of(model, masks={"embed.weight": mask})
    assert not model.unembed.weight.any()


def test_a_shared_module_is_one_layer() -> None:
    layer = nn.Linear(3, 3)
    assert names(nn.Sequential(layer, nn.ReLU(), layer)) == ["0.weight"]


def test_integer_parameters_are_not_maskable() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = nn.Parameter(torch.ones(2, 2, dtype=torch.int32), requires_grad=False)
    assert names(model) == ["0.weight"]


def test_layers_stand_in_the_order_of_named_parameters() -> None:
    model = nn.TransformerDecoderLayer(4, 2, 8)
    order = [name for name, _ in model.named_parameters()]
    found = names(model)
    assert found == [name for name in order if name in found]


def test_fan_in_counts_the_inputs_of_one_output() -> None:
    model = nn.Sequential(
        nn.Linear(6, 5), nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8)
    )
    assert [layer.fan_in for layer in maskable_layers(model).values()] == [6, 2 * 9, 9]


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def test_include_and_exclude_are_shell_patterns() -> None:
    assert list(maskable_layers(mlp(), include=["0.*"])) == ["0.weight"]
    assert list(maskable_layers(mlp(), exclude=["2.*"])) == ["0.weight"]
    assert list(maskable_layers(mlp(), include=["*"], exclude=["0.weight"])) == ["2.weight"]


def test_a_full_name_in_include_adds_what_the_rule_leaves_out() -> None:
    assert list(maskable_layers(mlp(), include=["*", "0.bias"])) == [
        "0.weight",
        "0.bias",
        "2.weight",
    ]
    assert list(maskable_layers(mlp(), include=["1.*", "1.weight"])) == ["1.weight"]


@pytest.mark.parametrize(("key", "line"), [("include", "'3.*'"), ("exclude", "'3.*'")])
def test_a_pattern_that_matches_nothing_is_refused(key: str, line: str) -> None:
    with pytest.raises(SpecError, match=line):
        maskable_layers(mlp(), **{key: ["3.*"]})


def test_a_model_without_maskable_weights_is_refused() -> None:
    with pytest.raises(SpecError, match="no maskable weight is left"):
        maskable_layers(mlp(), exclude=["*"])
    with pytest.raises(SpecError, match=r"the model has no maskable weight: none .* name others"):
        maskable_layers(nn.BatchNorm2d(3))


def masked() -> tuple[Network, torch.Tensor]:
    model = nn.Linear(3, 2, bias=False)
    model.weight.data = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    mask = torch.tensor([[True, False, True], [False, True, True]])
    return Network.of(model, masks={"weight": mask}), mask


def test_the_model_holds_weights_times_mask_and_the_network_the_weights() -> None:
    network, _ = masked()
    assert network.effective["weight"].tolist() == [[1, 0, 3], [0, 5, 6]]
    assert network.weights["weight"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert (network.total, network.device) == (6, torch.device("cpu"))
    network.mask(None)
    assert network.effective["weight"].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_masking_twice_brings_weights_back_that_return() -> None:
    network, mask = masked()
    network.mask({"weight": ~mask})
    assert network.effective["weight"].tolist() == [[0, 2, 0], [4, 0, 0]]


def test_a_change_reaches_the_model_through_the_mask_and_empties_the_memo() -> None:
    network, mask = masked()
    network.memo["norm"] = 1
    network.change("weight", ~mask, torch.full((2, 3), 9.0))
    assert network.weights["weight"].tolist() == [[1, 9, 3], [9, 5, 6]]
    assert network.effective["weight"].tolist() == [[1, 0, 3], [0, 5, 6]]
    assert network.memo == {}
    network.change("weight", None, torch.full((2, 3), 7.0))
    assert network.effective["weight"].tolist() == [[7, 0, 7], [0, 7, 7]]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_are_put_at_row_major_indices_in_any_memory_format(layout: Any) -> None:
    tensor = torch.zeros(2, 3, 2, 2).contiguous(memory_format=layout)
    assert put(tensor, torch.tensor([23, 4]), torch.tensor([1.0, 2.0])) == 2
    assert put(tensor, torch.tensor([0]), 9) == 1
    expected = torch.zeros(24)
    expected[[23, 4, 0]] = torch.tensor([1.0, 2.0, 9.0])
    assert torch.equal(tensor, expected.view(2, 3, 2, 2))
    assert tensor.is_contiguous(memory_format=layout)


def test_a_masked_model_keeps_its_parameters_and_state_dict_keys() -> None:
    model = mlp()
    before, keys = dict(model.named_parameters()), list(model.state_dict())
    masks = {"0.weight": torch.rand(4, 3, generator=generator(0, "mask")) < 0.5}
    Network.of(model, include=["0.*"], masks=masks)
    assert list(model.state_dict()) == keys
    assert all(parameter is before[name] for name, parameter in model.named_parameters())


@pytest.mark.parametrize(
    ("masks", "line"),
    [
        ({"0.weight": torch.ones(3, 4) > 0, "2.weight": torch.ones(2, 4) > 0}, "has shape"),
        ({"0.weight": torch.ones(4, 3), "2.weight": torch.ones(2, 4) > 0}, "must be bool"),
        (
            {"0.weight": torch.ones(4, 3) > 0, "2.weight": torch.ones(2, 4) > 0, "x": None},
            "no maskable weight is named 'x'",
        ),
    ],
)
def test_masks_that_do_not_fit_the_model_are_refused(masks: Any, line: str) -> None:
    with pytest.raises(SpecError, match=line):
        Network.of(mlp(), masks=masks)


def test_a_weight_without_a_mask_is_kept_whole() -> None:
    network = Network.of(mlp(), masks={"0.weight": torch.zeros(4, 3, dtype=torch.bool)})
    assert network.masks is not None
    assert not network.effective["0.weight"].any()
    assert network.masks["2.weight"].all()


def test_a_buffer_that_is_an_expanded_view_is_left_alone():
    model = nn.Linear(4, 3)
    model.register_buffer("rows", torch.arange(4.0).expand(2, 4))
    with scoring_mode(model):
        model(torch.ones(2, 4))
    assert model.rows.stride() == (0, 1)


class Merges(nn.Linear):
    """A layer whose `train` does more than to set the mode."""

    merged = False

    def train(self, mode: bool = True) -> Any:
        self.merged = not mode
        return super().train(mode)


def test_after_eval_mode_every_module_is_in_the_mode_it_was_in() -> None:
    model = nn.Sequential(Merges(2, 2), nn.Dropout().eval())
    with eval_mode(model):
        assert not any(module.training for module in model.modules())
        assert model[0].merged
    assert [module.training for module in model] == [True, False]
    assert not model[0].merged
