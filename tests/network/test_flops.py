"""FLOPs are counted by torch's formulas and belong to the layer whose weight is used."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from prunekit.network.flops import Flops, count_flops, effective
from prunekit.network.layers import maskable_layers


def flops(model: nn.Module, *shape: int) -> Flops:
    found = count_flops(model, shape, maskable_layers(model))
    assert found is not None
    return found


def test_a_multiply_add_counts_as_two() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 36, 5))
    conv, linear = 2 * 4 * 36 * 27, 2 * 144 * 5
    assert flops(model, 3, 6, 6) == Flops(conv + linear, {"0.weight": conv, "2.weight": linear})


def test_the_total_is_that_of_torch() -> None:
    model = nn.Sequential(nn.Conv2d(2, 6, 3, groups=2), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.Flatten())
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 2, 5, 5))
    assert flops(model, 2, 5, 5).dense == counter.get_total_flops()


def test_counting_imports_no_compiler() -> None:
    code = (
        "import sys\nfrom torch import nn\nfrom prunekit.network.flops import count_flops\n"
        "from prunekit.network.layers import maskable_layers\nmodel = nn.Linear(3, 2)\n"
        "assert count_flops(model, (3,), maskable_layers(model)).dense == 12\n"
        "assert not {'torch._dynamo', 'torch._inductor', 'sympy'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_compiled_model_is_counted_as_it_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    compiled = torch.compile(model, backend="eager")
    compiled(torch.zeros(1, 6))
    found, plain = flops(compiled, 6), flops(model, 6)
    assert found.dense == plain.dense == 2 * (30 + 20 + 12)
    assert list(found.per_layer.values()) == list(plain.per_layer.values())
    assert capfd.readouterr().err == ""


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


@pytest.mark.parametrize("train", [True, False])
def test_packed_projections_own_their_part_and_attention_itself_is_nobodys(train: bool) -> None:
    found = flops(Attention().train(train), 5, 8)  # five tokens of width 8
    packed, out, attention = 2 * 5 * 8 * 24, 2 * 5 * 8 * 8, 2 * 2 * 5 * 5 * 8
    assert found.per_layer == {
        "attention.in_proj_weight": packed,
        "attention.out_proj.weight": out,
    }
    assert found.dense == packed + out + attention


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0]


def test_recurrent_weights_are_counted_at_every_step() -> None:
    assert flops(Recurrent(), 6, 3).per_layer == {
        "lstm.weight_ih_l0": 2 * 6 * 3 * 16,
        "lstm.weight_hh_l0": 2 * 6 * 4 * 16,
    }


def test_a_layer_used_twice_counts_twice() -> None:
    layer = nn.Linear(3, 3)
    assert flops(nn.Sequential(layer, layer), 3).per_layer == {"0.weight": 2 * 2 * 9}


def test_pruned_weights_save_their_share() -> None:
    counted = Flops(dense=100, per_layer={"a": 60, "b": 20})
    assert effective(counted, {"a": 0.5, "b": 0.25}) == 100 - 30 - 15
    assert effective(counted, {"a": 1.0, "b": 1.0}) == 100


def test_counting_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten())
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    switches = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    flops(model, 3, 5, 5)
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert switches == (torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_that_cannot_run_on_such_input_has_no_count() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))
    assert count_flops(model, (3,), maskable_layers(model)) is None
