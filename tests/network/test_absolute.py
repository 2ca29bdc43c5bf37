from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import prunekit
from prunekit import AbsoluteNetwork, Network, SpecError
from prunekit.network import masking


def net() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
        model[0].bias.copy_(torch.tensor([-1.0, 0.0]))
        model[2].weight.copy_(torch.tensor([[-5.0, 6.0]]))
        model[2].bias.fill_(-7.0)
    return model


def gradient(w: Tensor, gradient: Tensor) -> None:
    w.copy_(gradient)


def magnitude(w: Tensor, gradient: Tensor) -> None:
    """|w| stays as it is."""


def test_the_output_is_that_of_the_absolute_weights_under_the_mask():
    network = Network.of(net())
    absolute, x = AbsoluteNetwork.of(network, torch.float64), torch.ones(1, 2, dtype=torch.float64)
    masks = {"0.weight": torch.tensor([[True, False], [True, True]])}
    masks["2.weight"] = torch.tensor([[True, True]])
    with prunekit.scoring_mode(network.model):
        assert absolute(x, None).item() == 5 * (3 + 1) + 6 * 7 + 7
        assert absolute(x, masks).item() == 5 * (1 + 1) + 6 * 7 + 7
        assert absolute(x, None).item() == 5 * (3 + 1) + 6 * 7 + 7


@pytest.mark.parametrize("block", [1, 3, 1 << 16])
def test_a_product_gets_absolute_weights_and_gradients_in_blocks(monkeypatch, block):
    monkeypatch.setattr(masking, "BLOCK", block)
    network = Network.of(net())
    absolute, x = AbsoluteNetwork.of(network, torch.float64), torch.ones(1, 2, dtype=torch.float64)
    with prunekit.scoring_mode(network.model):
        gradients = absolute.products(absolute(x, None).sum(), gradient)
        assert gradients["0.weight"].tolist() == [[5.0, 5.0], [6.0, 6.0]]
        assert gradients["2.weight"].tolist() == [[4.0, 7.0]]
        weights = absolute.products(absolute(x, None).sum(), magnitude)
    assert weights["0.weight"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_memory_that_is_held_is_not_lent_again():
    network = Network.of(net())
    absolute, x = AbsoluteNetwork.of(network, torch.float64), torch.ones(1, 2, dtype=torch.float64)
    with prunekit.scoring_mode(network.model):
        held = absolute.products(absolute(x, None).sum(), gradient)["0.weight"].view(-1)
        absolute.products(absolute(3 * x, None).sum(), magnitude)
    assert held.tolist() == [5.0, 5.0, 6.0, 6.0]


def test_a_model_that_returns_no_tensor_is_refused():
    class Named(nn.Linear):
        def forward(self, x):
            return "logits"

    network = Network.of(nn.Sequential(Named(2, 2)))
    with pytest.raises(SpecError, match="must return logits"):
        AbsoluteNetwork.of(network, torch.float64)(torch.ones(1, 2, dtype=torch.float64), None)


def shared_linear() -> nn.Module:
    shared = nn.Linear(4, 4)
    return nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(4, 3))


def shared_three_times() -> nn.Module:
    return nn.Sequential(*[nn.Linear(4, 4)] * 3, nn.Linear(4, 3))


class TwoAttributes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = nn.Linear(4, 4)
        self.norm = self.again = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.second(self.norm(self.first(x)).relu()))


@pytest.mark.parametrize("build", [shared_linear, shared_three_times, TwoAttributes])
def test_a_module_under_two_names_is_scored_and_keeps_its_parameters(build):
    model = build()
    before = {name: (p, p.detach().clone()) for name, p in model.named_parameters()}
    buffers = {name: (b, b.clone()) for name, b in model.named_buffers()}
    prunekit.score(model, "synflow", input_shape=(4,))
    for name, found in [*model.named_parameters(), *model.named_buffers()]:
        held, value = (before | buffers)[name]
        assert found is held
        assert torch.equal(found, value)
    masks = prunekit.prune(model, "synflow", density=0.5, rounds=10, input_shape=(4,))
    for name, mask in masks.items():
        held, value = before[name]
        assert model.get_parameter(name) is held
        assert torch.equal(held, value * mask)


def test_a_linear_layer_used_twice_has_the_paths_of_both_uses():
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
    scores = prunekit.score(nn.Sequential(layer, layer), "synflow", input_shape=(2,))
    # R = 1^T W W 1: dR/dW[i, j] = (W 1)[j] + (1^T W)[i], W 1 = (3, 7), 1^T W = (4, 6)
    assert scores["0.weight"].tolist() == [[1 * (3 + 4), 2 * (7 + 4)], [3 * (3 + 6), 4 * (7 + 6)]]
