"""Networks of several kinds as tickets; what is drawn, what is stored, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import prunekit
from prunekit.errors import StorageError
from prunekit.network.layers import maskable_layers
from prunekit.tickets import file, saving
from prunekit.tickets.weights import check_fit, drawn, fill, own_state, state_sha256
from tests.tickets.tinytickets import origin

INIT = prunekit.component("init", "kaiming-uniform")


class Tied(nn.Module):
    """A linear layer that reads words with the weight that embeds them, and a position."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.lstm = nn.LSTM(4, 4)
        self.norm = nn.LayerNorm(4)
        self.position = nn.Parameter(torch.arange(4.0))
        self.out = nn.Linear(4, 7)
        self.out.weight = self.embedding.weight


class Normed(nn.Module):
    """A convolution with batch norm."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(2, 6, 3, bias=False)
        self.norm = nn.BatchNorm2d(6)


def as_drawn(model, masked):
    """state and masks of a model whose maskable weights are drawn; a third of `masked` is kept."""
    layers = maskable_layers(model)
    with torch.no_grad():
        for layer in layers.values():
            count = layer.parameter.numel()
            values = drawn(layer, INIT, 1, torch.arange(count), 0)
            layer.parameter.copy_(values.view(layer.shape))
    masks = {name: torch.arange(layers[name].parameter.numel()) % 3 == 0 for name in masked}
    masks = {name: mask.view(layers[name].shape) for name, mask in masks.items()}
    return {name: value.clone() for name, value in model.state_dict().items()}, masks


def shipped(model, masked, path):
    """The ticket of a model, written and read."""
    state, masks = as_drawn(model, masked)
    made = saving.ticket_of(model, origin("kaiming-uniform"), INIT, state, masks, {})
    file.write(made, path)
    return file.opened(path).decoded()


@pytest.mark.parametrize("kind", [Tied, Normed])
def test_a_fresh_network_is_filled_to_the_same_bits(kind, tmp_path):
    model, fresh = kind(), kind()
    ticket = shipped(model, maskable_layers(model), tmp_path / "ticket")
    fill(fresh, ticket, INIT)
    assert state_sha256(fresh) == ticket.header.sha256 == state_sha256(model)


def test_tied_weights_are_drawn_once_and_stay_tied(tmp_path):
    ticket = shipped(Tied(), ["embedding.weight"], tmp_path / "ticket")
    fresh = Tied()
    fill(fresh, ticket, INIT)
    assert [part.name for part in ticket.header.parts].count("out.weight") == 0
    assert fresh.out.weight is fresh.embedding.weight
    assert "out.weight" not in own_state(fresh)


def test_a_frozen_weight_without_a_mask_costs_nothing(tmp_path):
    ticket = shipped(Tied(), ["embedding.weight"], tmp_path / "ticket")
    kept = {part.name: (part.kept, part.total) for part in ticket.header.parts}
    assert kept["lstm.weight_ih_l0"] == (64, 64)
    assert not any("weight" in name and "norm" not in name for name in ticket.state)


def test_what_is_one_number_throughout_is_kept_as_one(tmp_path):
    model = Normed()
    model.norm.running_mean.copy_(torch.arange(6.0))
    ticket = shipped(model, ["convolution.weight"], tmp_path / "ticket")
    assert ticket.header.constants == {
        "norm.weight": 1.0,
        "norm.bias": 0.0,
        "norm.running_var": 1.0,
        "norm.num_batches_tracked": 0,
    }
    assert list(ticket.state) == ["norm.running_mean"]


def test_pruned_weights_are_plus_zero(tmp_path):
    model = Normed()
    ticket = shipped(model, ["convolution.weight"], tmp_path / "ticket")
    fill(model, ticket, INIT)
    pruned = model.convolution.weight.detach().flatten()[1::3]
    assert not pruned.any()
    assert not pruned.signbit().any()


def test_weights_that_no_mask_covers_and_that_were_trained_are_stored(tmp_path):
    model, other = Tied(), Tied()
    state, masks = as_drawn(model, ["embedding.weight"])
    state["lstm.weight_hh_l0"] += 0.5
    made = saving.ticket_of(model, origin("kaiming-uniform"), INIT, state, masks, {})
    assert "lstm.weight_hh_l0" in made.state
    fill(other, made, INIT)
    assert torch.equal(other.lstm.weight_hh_l0, state["lstm.weight_hh_l0"])


def test_a_tensor_is_a_part_or_a_state_or_a_number_and_not_two_of_these(tmp_path):
    model = Normed()
    ticket = shipped(model, ["convolution.weight"], tmp_path / "ticket")
    check_fit(model, ticket.header, ticket.state, arch_given=False)
    twice = ticket.state | {"norm.weight": model.norm.weight.detach()}
    with pytest.raises(StorageError, match=r"has 'norm\.weight' twice; get or make it again"):
        check_fit(model, ticket.header, twice, arch_given=False)
