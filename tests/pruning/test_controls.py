"""Each control changes what it should and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.network.model import Network
from prunekit.pruning.controls import CONTROLS, apply_control

LAYERS = ("0.weight", "1.weight")


def law(name: str, rng: torch.Generator) -> Tensor:
    return torch.randn((20, 10) if name == "0.weight" else (5, 20), generator=rng)


def pruned_network() -> Network:
    model = nn.Sequential(nn.Linear(10, 20), nn.Linear(20, 5))
    masks = {
        "0.weight": torch.arange(200).reshape(20, 10) < 60,
        "1.weight": torch.zeros(5, 20, dtype=torch.bool),
    }
    return Network.of(model, masks=masks)


def weights_of(network: Network) -> dict[str, Tensor]:
    state = {name: value.clone() for name, value in network.model.state_dict().items()}
    return state | {f"before {name}": w.clone() for name, w in network.weights.items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_a_control_keeps_the_number_of_weights_in_each_layer(name):
    network = pruned_network()
    scores = {name: torch.rand(w.shape) for name, w in network.weights.items()}
    masks, _ = apply_control(name, network.masks, network, law, generator(0), scores)
    assert [int(masks[name].sum()) for name in LAYERS] == [60, 0]
    assert [masks[name].shape for name in LAYERS] == [(20, 10), (5, 20)]
    assert all(mask.dtype == torch.bool for mask in masks.values())


@pytest.mark.parametrize("name", sorted(set(CONTROLS) - {"redraw"}))
def test_a_control_of_masks_changes_no_weight_and_not_the_given_masks(name):
    network = pruned_network()
    before, given = weights_of(network), {name: m.clone() for name, m in network.masks.items()}
    scores = {name: torch.rand(w.shape) for name, w in network.weights.items()}
    _, redrawn = apply_control(name, network.masks, network, law, generator(0), scores)
    assert redrawn == ()
    assert not changed(before, weights_of(network))
    assert not changed(given, network.masks)


def test_control_none_changes_nothing():
    network = pruned_network()
    masks, _ = apply_control("none", network.masks, network, law, generator(0))
    assert not changed(network.masks, masks)


@pytest.mark.parametrize("name", ["shuffle", "random-layerwise"])
def test_a_random_mask_differs_and_repeats_with_its_generator(name):
    network = pruned_network()
    masks, _ = apply_control(name, network.masks, network, law, generator(1), None)
    again, _ = apply_control(name, network.masks, network, law, generator(1), None)
    other, _ = apply_control(name, network.masks, network, law, generator(2), None)
    assert changed(network.masks, masks) == {"0.weight"}
    assert not changed(masks, again)
    assert changed(masks, other) == {"0.weight"}


@pytest.mark.parametrize("name", ["shuffle", "random-layerwise"])
def test_a_random_mask_keeps_every_place_equally_often(name):
    """3,000 draws of 2 of 8: each place 750 times, |z| < 4.5 for eight z."""
    rng, total = generator(3), torch.zeros(8)
    network, given = pruned_network(), {"0.weight": torch.arange(8) < 2}
    for _ in range(3_000):
        total += apply_control(name, given, network, law, rng)[0]["0.weight"]
    assert (total - 750).abs().max() / (3_000 * 0.25 * 0.75) ** 0.5 < 4.5


def test_redraw_keeps_the_masks_and_draws_every_maskable_weight_from_its_law():
    network = pruned_network()
    before = weights_of(network)
    masks, redrawn = apply_control("redraw", network.masks, network, law, generator(7))
    assert not changed(network.masks, masks)
    assert redrawn == LAYERS
    rng = generator(7)
    for name in LAYERS:
        fresh = law(name, rng)
        assert torch.equal(network.weights[name], fresh)
        assert torch.equal(network.effective[name], fresh * masks[name])
    assert {"0.bias", "1.bias"}.isdisjoint(changed(before, weights_of(network)))


def test_invert_keeps_the_lowest_scores_of_each_layer():
    network = pruned_network()
    given = {"0.weight": torch.tensor([True, True, False, False])}
    scores = {"0.weight": torch.tensor([4.0, 3.0, -1.0, 2.0])}
    masks, _ = apply_control("invert", given, network, law, generator(0), scores)
    assert masks["0.weight"].tolist() == [False, False, True, True]


def test_invert_without_scores_and_unknown_controls_are_refused():
    network = pruned_network()
    with pytest.raises(SpecError, match="control invert needs scores"):
        apply_control("invert", network.masks, network, law, generator(0))
    with pytest.raises(SpecError, match="no control is named 'twist'; choose from none, shuffle"):
        apply_control("twist", network.masks, network, law, generator(0))
