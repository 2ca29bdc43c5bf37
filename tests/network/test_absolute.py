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
