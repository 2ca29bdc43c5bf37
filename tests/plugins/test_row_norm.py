from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from prunekit_plugins import row_norm
from prunekit_plugins.row_norm import RowNorm, input_energies
from torch import nn

import prunekit
from prunekit import Network, SpecError, testing

pytestmark = pytest.mark.filterwarnings("ignore:.* was decided by name")  # no pass is made here


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
        nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 1), dilation=2, groups=2),
        nn.ConvTranspose3d(4, 2, 2, stride=2, padding=1),
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


class Own(nn.Module):
    """One raw parameter `kernel` and what is made of it and the input."""

    def __init__(self, shape, use) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(shape))
        self.use = use

    def forward(self, x):
        return self.use(x, self.kernel)


def mixed(x, w):  # (2, 3, 4), (4, 4)
    """Two halves of a fused weight, one of them transposed, and a cast."""
    return x @ w[:2].T + x @ w.t()[:, 2:].float().to(x.dtype)


USES = {
    "matmul": (lambda x, w: torch.matmul(x, w), (4, 5)),
    "@": (lambda x, w: x @ w, (4, 5)),
    "mm": (lambda x, w: torch.mm(x[0], w), (4, 5)),
    "weight on the left": (lambda x, w: w @ x, (5, 3)),
    "bmm": (lambda x, w: torch.bmm(x, w), (2, 4, 5)),
    "broadcast over the batch": (lambda x, w: x[:, None] @ w, (1, 6, 4, 5)),
    "one matrix, expanded": (lambda x, w: torch.bmm(x, w.expand(2, 4, 5)), (4, 5)),
    "baddbmm": (lambda x, w: torch.baddbmm(x.new_ones(2, 3, 5), x, w), (2, 4, 5)),
    "addmm, as transformers' Conv1D": (
        lambda x, w: torch.addmm(x.new_ones(5), x.view(-1, 4), w), (4, 5),
    ),
    "einsum over heads": (lambda x, w: torch.einsum("blf,fhd->blhd", x, w), (4, 2, 3)),
    "einsum with dots": (lambda x, w: torch.einsum("...f,of->...o", x, w), (5, 4)),
    "einsum that sums the input first": (lambda x, w: torch.einsum("blf,o->bo", x, w), (5, 1)),
    "einsum of three": (lambda x, w: torch.einsum("blf,bl,fo->bo", x, x[:, :, 0], w), (4, 5)),
    "bilinear": (lambda x, w: F.bilinear(x, x[..., :3].contiguous(), w), (5, 4, 3)),
    "an expert of a stack": (lambda x, w: F.linear(x, w[1]), (3, 5, 4)),
    "an expert's half": (lambda x, w: F.linear(x, w[1].chunk(2)[1]), (3, 6, 4)),
    "experts looked up": (
        lambda x, w: torch.bmm(x, w[torch.tensor([2, 2])]), (3, 4, 5),
    ),
    "fused and cut": (mixed, (4, 4)),
    "computed": (lambda x, w: F.linear(x, (w * 1.0).to(w.dtype).contiguous()), (5, 4)),
    "transposed into other memory": (lambda x, w: x @ w.t().contiguous().t(), (4, 5)),
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_a_weight_is_found_however_it_is_multiplied(use):
    torch.manual_seed(0)
    function, shape = USES[use]
    layer = Own(shape if use != "einsum that sums the input first" else shape[:1], function)
    layer, x = layer.double(), torch.randn(2, 3, 4, dtype=torch.float64)
    network = Network.of(nn.Sequential(layer), include=["0.kernel"])
    energy = input_energies(network, [(x, None)], "eval")["0.kernel"]

    def output(kernel):
        return torch.func.functional_call(layer, {"kernel": kernel}, x)

    jacobian = torch.autograd.functional.jacobian(output, layer.kernel.detach())
    expected = jacobian.square().flatten(0, -1 - layer.kernel.ndim).sum(0)
    torch.testing.assert_close(energy.expand_as(layer.kernel), expected)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_a_bag_of_embeddings_counts_a_token_as_often_as_its_bag_does(mode):
    layer, x = nn.EmbeddingBag(4, 2, mode=mode), torch.tensor([[0, 2, 2], [3, 2, 0]])
    energy = energy_of(nn.Sequential(layer), x, "0.weight")[:, 0]
    expected = torch.tensor([2.0, 0.0, 5.0, 1.0])  # 1 + 1, 0, 2^2 + 1, 1
    torch.testing.assert_close(energy, expected / (9 if mode == "mean" else 1))


class LastState(nn.Module):
    def __init__(self, layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


def test_a_recurrent_layer_is_scored_on_its_inputs_and_its_states():
    net = LastState(nn.RNN(1, 1, bias=False, nonlinearity="relu"))
    net.layer.weight_ih_l0.data.fill_(2.0)
    net.layer.weight_hh_l0.data.fill_(3.0)
    x = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)  # states 2, 10, 36; the first from 0
    energies = input_energies(Network.of(net), [(x, None)], "eval")
    assert energies["layer.weight_ih_l0"].item() == 1 + 4 + 9
    assert energies["layer.weight_hh_l0"].item() == 0 + 4 + 100


def test_packed_sequences_count_their_own_steps():
    net = LastState(nn.RNN(1, 1, bias=False, nonlinearity="relu"))
    net.layer.weight_ih_l0.data.fill_(2.0)
    net.layer.weight_hh_l0.data.fill_(3.0)

    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = net.layer

        def forward(self, x):
            lengths = torch.tensor([3, 1])
            return self.layer(nn.utils.rnn.pack_padded_sequence(x, lengths))[0].data

    x = torch.tensor([[1.0, 5.0], [2.0, 99.0], [3.0, 99.0]])[..., None]
    energies = input_energies(Network.of(Packed()), [(x, None)], "eval")
    assert energies["layer.weight_ih_l0"].item() == 1 + 4 + 9 + 25
    assert energies["layer.weight_hh_l0"].item() == 0 + 4 + 100


def test_weight_norm_is_scored_on_the_inputs_of_the_computed_weight():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2, bias=False))
    name = "0.weight"
    x = torch.tensor([[3.0, 0.0], [4.0, 2.0]])
    network = Network.of(nn.Sequential(layer), include=[name])
    assert input_energies(network, [(x, None)], "eval")[name].tolist() == [25, 4]


def test_a_power_iteration_is_no_use_of_a_weight():
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2, bias=False))
    name = "0.weight"
    x = torch.tensor([[3.0, 0.0], [4.0, 2.0]])
    network = Network.of(nn.Sequential(layer), include=[name])
    assert input_energies(network, [(x, None)], "eval")[name].tolist() == [25, 4]


def test_a_layer_whose_inputs_cannot_be_seen_is_refused_by_name():
    layer = Own((4, 4), lambda x, w: (x[..., None] * w).sum(-2))
    network = Network.of(nn.Sequential(layer), include=["0.kernel"])
    with pytest.raises(SpecError, match=r"cannot see the inputs of 0\.kernel"):
        RowNorm().score(network, [(torch.randn(2, 4), None)], torch.Generator())


def test_a_silent_layer_is_an_all_zero_layer():
    net = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(prunekit.NumericalError, match=r"every score of 0\.weight is 0"):
        prunekit.score(net, "row-norm", batches=[torch.zeros(3, 2)])


def test_real_numbers_that_are_used_as_complex_ones_are_scored_on_absolute_values():
    layer = Own((2, 3, 2), lambda x, w: (x.to(torch.cfloat) @ torch.view_as_complex(w)).abs())
    x = torch.tensor([[3.0, 0.0], [4.0, 2.0]])
    network = Network.of(nn.Sequential(layer), include=["0.kernel"])
    energy = input_energies(network, [(x, None)], "eval")["0.kernel"].expand(2, 3, 2)
    assert energy[0].eq(25).all()
    assert energy[1].eq(4).all()
    turned = Own((2, 3, 2), lambda x, w: torch.view_as_complex(w).mH @ (x.T * 1j))
    network = Network.of(nn.Sequential(turned), include=["0.kernel"])
    again = input_energies(network, [(x, None)], "eval")["0.kernel"]
    torch.testing.assert_close(again.expand(2, 3, 2), energy)


def test_what_happens_inside_vmap_is_refused_by_name():
    def both(x, w):
        return torch.func.vmap(lambda one: x @ one)(w)

    network = Network.of(nn.Sequential(Own((3, 2, 2), both)), include=["0.kernel"])
    with pytest.raises(SpecError, match=r"cannot see the inputs of 0\.kernel.*vmap"):
        input_energies(network, [(torch.randn(4, 2), None)], "eval")
