from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from prunekit_plugins import grasp
from prunekit_plugins.grasp import GraSP, hardsigmoid, twice_differentiable
from torch import nn

import prunekit
from prunekit import Network, SpecError, testing
from tests.golden_cases import case


def test_grasp_is_offered_by_its_name():
    assert grasp.prunekit_scorers() == {"grasp": GraSP}


@testing.check_scorers(GraSP(), GraSP(batch_norm="train", batches=2, split=2, temperature=1.0))
def test_grasp_keeps_the_scorer_contract(scorer, check):
    check(scorer)


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_is_the_weight_times_the_full_hessian_times_the_gradient(temperature):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2, bias=False)).double()
    x, y = torch.randn(5, 3).double(), torch.tensor([0, 1, 1, 0, 1])

    def loss(w):
        return F.cross_entropy(F.linear(x, w) / temperature, y)

    w = net[0].weight.detach()
    g = torch.autograd.functional.jacobian(loss, w)
    hessian = torch.autograd.functional.hessian(loss, w)
    expected = w * torch.einsum("ijkl,kl->ij", hessian, g)
    scores = prunekit.score(net, GraSP(temperature=temperature), batches=[(x, y)])
    torch.testing.assert_close(scores["0.weight"], expected)


def test_grasp_predicts_the_change_of_the_squared_gradient_norm():
    golden = case("mlp_a", "float64")
    net = golden.model()
    scores = prunekit.score(net, GraSP(temperature=1.0), batches=[(golden.x, golden.y)])

    def squared_norm() -> float:
        network = Network.of(net)
        with prunekit.scoring_mode(net):
            losses = [F.cross_entropy(net(golden.x), golden.y)]
            return sum(
                float(g.square().sum())
                for g in prunekit.sum_gradients(losses, network.effective).values()
            )

    before, step = squared_norm(), 1e-6
    for index in [(0, 0), (3, 5), (15, 11)]:
        weight = net[0].weight.data[index].clone()
        net[0].weight.data[index] = weight * (1 - step)  # switched off by a millionth
        change = (squared_norm() - before) / step
        net[0].weight.data[index] = weight
        assert change == pytest.approx(-2 * float(scores["0.weight"][index]), rel=1e-3, abs=1e-9)


def test_scores_before_batch_norm_sum_to_minus_the_squared_gradient():
    golden = case("cnn_bn_a", "float64")
    net, batches = golden.model(), [(golden.x, golden.y)]
    network = Network.of(net)
    with prunekit.scoring_mode(net, "train"):
        losses = [F.cross_entropy(net(golden.x) / 200, golden.y)]
        gradient = prunekit.sum_gradients(losses, network.effective)
    scores = prunekit.score(net, GraSP(batch_norm="train"), batches=batches)
    for name in ("0.weight", "3.weight"):
        expected = -float(gradient[name].square().sum())
        assert float(scores[name].sum()) == pytest.approx(expected, rel=1e-3)


def test_grasp_on_one_class_is_refused_in_one_line():
    net = nn.Linear(3, 4)
    batches = [(torch.randn(2, 3), torch.tensor([2, 2])), (torch.randn(1, 3), torch.tensor([2]))]
    with pytest.raises(SpecError, match="at least two classes; every label is 2") as it:
        prunekit.score(net, GraSP(batches=2), batches=batches)
    assert it.value.exit_code == 2


def test_grasp_scores_attention_and_hardsigmoid_whose_fused_forms_have_no_second_derivative():
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            attended, _ = self.attend(x, x, x, need_weights=False)
            return self.head(F.hardsigmoid(attended).mean(1))

    torch.manual_seed(0)
    net, x = Gate().eval(), torch.randn(6, 3, 4)
    scores = prunekit.score(net, "grasp", batches=[(x, torch.tensor([0, 1] * 3))])
    assert all(score.any() for score in scores.values())


def test_the_composed_hardsigmoid_equals_the_fused_one():
    x = torch.linspace(-4, 4, 81, dtype=torch.float64)
    torch.testing.assert_close(hardsigmoid(x), F.hardsigmoid(x))


def test_a_layer_without_second_derivative_is_refused_in_one_line():
    with pytest.raises(SpecError, match="grasp needs second derivatives"), twice_differentiable():
        raise NotImplementedError("derivative for aten::some_backward is not implemented")
