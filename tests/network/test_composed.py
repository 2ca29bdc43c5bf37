from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from prunekit.network.composed import COMPOSED
from prunekit.network.paths import PositivePaths


class Composing(TorchFunctionMode):
    """Kernels by their composition; how many there were."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func in COMPOSED
        return COMPOSED.get(func, func)(*args, **(kwargs or {}))


LAYERS = {
    "rnn": nn.RNN(3, 4),
    "relu": nn.RNN(3, 4, nonlinearity="relu", bias=False),
    "lstm": nn.LSTM(3, 4, num_layers=2, batch_first=True),
    "both ways": nn.GRU(3, 4, num_layers=2, bidirectional=True),
    "projected": nn.LSTM(3, 4, num_layers=2, proj_size=2, bidirectional=True),
    "projected, no bias": nn.LSTM(3, 4, proj_size=2, bias=False),
}


def flat(value):
    return [value] if isinstance(value, torch.Tensor) else [t for part in value for t in flat(part)]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_recurrent_kernel_equals_its_composition(name, packed):
    torch.manual_seed(0)
    layer, x = LAYERS[name], torch.randn(5, 3, 3)
    if packed:
        x = nn.utils.rnn.pack_padded_sequence(
            x, [3, 5, 2] if not layer.batch_first else [3, 1, 2, 3, 2], layer.batch_first, False
        )
    with Composing() as composing:
        ours = layer(x)
    theirs = layer(x)
    assert composing.count == 1
    for a, b in zip(flat(ours), flat(theirs)):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_a_recurrent_cell_equals_its_composition(kind):
    torch.manual_seed(0)
    cell, x = kind(3, 4), torch.randn(5, 3)
    state = cell(x)
    with Composing():
        ours = cell(x, state)
    for a, b in zip(flat(ours), flat(cell(x, state))):
        torch.testing.assert_close(a, b)


SHAPES = {
    "groups of rows": ((6, 16), (2, 16, 8)),
    "groups of columns": ((2, 8, 16), (16, 6)),
    "groups of the summed axis": ((4, 6), (6, 8)),
    "a stack of each": ((2, 3, 4), (2, 4, 8)),
}


@pytest.mark.parametrize("shapes", SHAPES)
def test_a_grouped_product_is_one_product_for_each_group(shapes):
    torch.manual_seed(0)
    a, b = (torch.randn(shape) for shape in SHAPES[shapes])
    ends = torch.tensor([2, 6], dtype=torch.int32)
    expected = {
        "groups of rows": lambda: torch.cat([a[:2] @ b[0], a[2:] @ b[1]]),
        "groups of columns": lambda: torch.cat([a[0] @ b[:, :2], a[1] @ b[:, 2:]], 1),
        "groups of the summed axis": lambda: torch.stack([a[:, :2] @ b[:2], a[:, 2:] @ b[2:]]),
        "a stack of each": lambda: a @ b,
    }
    offs = None if shapes == "a stack of each" else ends
    ours = COMPOSED[torch._grouped_mm](a, b, offs=offs)
    torch.testing.assert_close(ours, expected[shapes]())
    if shapes == "groups of rows":  # the others' strides are none that the kernel takes
        torch.testing.assert_close(ours, torch._grouped_mm(a, b, offs=offs))


def test_a_gate_between_two_lets_both_through():
    z = torch.tensor([2.0, 0.0])
    with PositivePaths():
        kept = torch.lerp(torch.tensor([3.0, 3.0]), torch.tensor([4.0, 4.0]), torch.sigmoid(z))
    assert kept.tolist() == [7, 0]


def test_a_cell_by_its_paths_is_linear_in_its_input():
    cell, x = nn.RNNCell(3, 4, bias=False), torch.rand(2, 3)
    for parameter in cell.parameters():
        parameter.data.abs_()
    with PositivePaths():
        once, twice = cell(x), cell(2 * x)
    torch.testing.assert_close(once, x @ cell.weight_ih.T)
    torch.testing.assert_close(twice, 2 * once)
