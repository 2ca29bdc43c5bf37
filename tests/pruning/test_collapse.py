"""Layer collapse: kept weights that nothing flows through are counted as dead."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from prunekit.draws.chance import generator
from prunekit.network.model import Network
from prunekit.pruning import collapse
from prunekit.pruning.collapse import dead_kept


def chain(first: Tensor, second: Tensor, shape: tuple[int, ...] | None = (3,)) -> Network:
    """Two linear layers, 3 -> 2 -> 2, under these masks; no ReLU, so that only masks kill."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    masks = {"0.weight": first.bool(), "1.weight": second.bool()}
    return Network.of(model, input_shape=shape, masks=masks)


def dead(network: Network) -> dict[str, int]:
    return dead_kept(network, generator(0, "dead"))


ALL = torch.ones(2, 3), torch.ones(2, 2)


def test_in_a_whole_network_nothing_is_dead() -> None:
    assert dead(chain(*ALL)) == {"0.weight": 0, "1.weight": 0}


def test_weights_into_a_unit_without_a_way_out_are_dead() -> None:
    second = torch.tensor([[1, 0], [1, 0]])  # nobody reads unit 1 of the first layer
    assert dead(chain(ALL[0], second)) == {"0.weight": 3, "1.weight": 0}


def test_pruned_weights_are_not_counted() -> None:
    first = torch.tensor([[1, 1, 1], [1, 0, 0]])
    assert dead(chain(first, torch.tensor([[1, 0], [1, 0]])))["0.weight"] == 1


def test_an_empty_layer_kills_all_before_it() -> None:
    assert dead(chain(ALL[0], torch.zeros(2, 2))) == {"0.weight": 6, "1.weight": 0}


def test_a_unit_whose_relu_never_opens_is_dead() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([100.0, -100.0]))
    masks = {"0.weight": ALL[0].bool(), "2.weight": ALL[1].bool()}
    network = Network.of(model, input_shape=(3,), masks=masks)
    assert dead(network) == {"0.weight": 3, "2.weight": 2}


def test_without_an_input_shape_or_masks_nothing_is_measured() -> None:
    assert dead(chain(*ALL, shape=None)) == {}
    network = chain(*ALL)
    network.mask(None)
    assert dead(network) == {}


@pytest.mark.parametrize("numbers", [1, 3 * 7, 3 * 64])
def test_the_counts_are_those_of_all_examples_at_once(
    numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = torch.tensor([[1, 0], [1, 0]])
    expected = dead(chain(ALL[0], second))
    monkeypatch.setattr(collapse, "NUMBERS", numbers)
    assert dead(chain(ALL[0], second)) == expected


def test_the_network_is_left_as_it_was() -> None:
    network = chain(*ALL)
    network.model.train()
    before = [p.clone() for p in network.model.parameters()]
    dead(network)
    assert network.model.training
    assert all(p.grad is None for p in network.model.parameters())
    assert all(map(torch.equal, before, network.model.parameters()))


def test_a_network_of_tokens_is_measured_on_its_tokens_without_its_embedding() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(6, 2))
    network = Network.of(model, input_shape=(2,))
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1]]).bool()
    network.mask({"0.weight": torch.ones(9, 3).bool(), "2.weight": mask})
    with torch.no_grad():
        model[0].weight[1] = 0  # what column 0 to 2 read where the first token is 1
    found = dead_kept(network, generator(0, "dead"), torch.tensor([[1, 2], [1, 3]]))
    assert found == {"2.weight": 4}
