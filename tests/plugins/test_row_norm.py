from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from prunekit_plugins import row_norm
from prunekit_plugins.row_norm import RowNorm, input_energies
from torch import nn

import prunekit
from prunekit import Network, SpecError, testing


def energy_of(model: nn.Module, x: torch.Tensor, name: str) -> torch.Tensor:
    network = Network.of(model, include=[name])
    return input_energies(network, [(x, None)], "eval")[name]


def squared_columns(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """||d output / d w_i||^2 for every weight: X_(i) read off the whole Jacobian."""

    def output(weight):
        return torch.func.functional_call(layer, {"weight": weight}, x)

    jacobian = torch.autograd.functional.jacobian(output, layer.weight.detach())
    return jacobian.square().flatten(0, -1 - layer.weight.ndim).sum(0)


def test_row_norm_is_offered_by_its_name():
    assert row_norm.prunekit_scorers() == {"row-norm": RowNorm}


@testing.check_scorers(RowNorm(), RowNorm(batch_norm="train", batches=2))
def test_row_norm_keeps_the_scorer_contract(scorer, check):
    check(scorer)


def test_a_linear_layer_scores_input_norm_times_weight_over_their_sum():
    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    net[0].weight.data = torch.tensor([[1.0, -1.0], [2.0, 0.0]])
    x = torch.tensor([[3.0, 0.0], [4.0, 2.0]])  # columns of norm 5 and 2
    scores = prunekit.score(net, "row-norm", batches=[(x, None)])
    torch.testing.assert_close(scores["0.weight"], torch.tensor([[5.0, 2.0], [10.0, 0.0]]) / 17)


def test_each_layer_is_scored_on_its_own_inputs_and_sums_to_one():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    net[0].weight.data = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    net[2].weight.data = torch.ones(2, 2)
    x = torch.tensor([[3.0, 4.0]])  # the second layer sees (3, 0)
    scores = prunekit.score(net, "row-norm", batches=[x])
    torch.testing.assert_close(scores["2.weight"], torch.tensor([[0.5, 0.0], [0.5, 0.0]]))
    assert all(float(score.sum()) == pytest.approx(1) for score in scores.values())


def test_norms_are_taken_over_all_batches():
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 3)), torch.randn(6, 4)
    parts = [(x[:2], None), (x[2:], None)]
    whole = prunekit.score(net, "row-norm", batches=[(x, None)])
    torch.testing.assert_close(prunekit.score(net, RowNorm(batches=2), batches=parts), whole)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(4, 3),
        nn.Conv1d(4, 6, 3, padding=1, stride=2),
        nn.Conv2d(4, 8, (3, 2), stride=(2, 3), padding=(1, 0)),
        nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2),
        nn.Conv2d(4, 8, 2, padding="same", groups=4),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", groups=4),
        nn.Conv3d(4, 2, 2),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_norms_equal_those_of_the_columns_of_the_jacobian(layer):
    torch.manual_seed(0)
    layer = layer.double()
    shape = (2, 4) if layer.weight.ndim == 2 else (2, 4, 5, 6, 7)[: layer.weight.ndim]
    x = torch.randn(shape, dtype=torch.float64)
    energy = energy_of(nn.Sequential(layer), x, "0.weight")
    torch.testing.assert_close(energy.expand_as(layer.weight), squared_columns(layer, x))


def test_an_embedding_is_scored_by_how_often_a_token_occurs():
    net = nn.Sequential(nn.Embedding(4, 2))
    energy = energy_of(net, torch.tensor([[0, 2, 2], [2, 3, 0]]), "0.weight")
    assert energy.squeeze(1).tolist() == [2, 0, 3, 1]


class Attend(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attend(x[:, :1], x[:, 1:2], x[:, 1:2], need_weights=False)[0].flatten(1)


def test_attention_projections_are_scored_on_what_each_is_applied_to():
    torch.manual_seed(0)
    net, x = Attend(), torch.randn(3, 2, 4)
    network = Network.of(net)
    energies = input_energies(network, [(x, None)], "eval")
    query, key = x[:, 0].square().sum(0), x[:, 1].square().sum(0)
    blocks = energies["attend.in_proj_weight"].split(4)
    for block, expected in zip(blocks, (query, key, key)):
        torch.testing.assert_close(block, expected.expand(4, 4))
    values = F.linear(x[:, 1], net.attend.in_proj_weight[8:])  # one key: its weight is 1
    expected = values.square().sum(0).detach()
    torch.testing.assert_close(energies["attend.out_proj.weight"], expected)


def test_a_layer_whose_inputs_cannot_be_seen_is_refused_by_name():
    with pytest.raises(SpecError, match=r"cannot see the inputs of 0\.weight_ih_l0"):
        prunekit.score(nn.Sequential(nn.LSTM(3, 2)), "row-norm", batches=[torch.randn(4, 5, 3)])


def test_a_silent_layer_is_an_all_zero_layer():
    net = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(prunekit.NumericalError, match=r"every score of 0\.weight is 0"):
        prunekit.score(net, "row-norm", batches=[torch.zeros(3, 2)])
