from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.theory.chains import chain, spread, torus_norm
from prunekit.theory.construct import oracle_prune
from prunekit.theory.supremum import Ball, Cube, certificates, sup_error


def linear(*rows: list[float], bias: list[float] | None = None) -> nn.Linear:
    weight = torch.tensor(rows)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def mlp(seed: int, *widths: int, scale: float = 1.0) -> nn.Sequential:
    rng = generator(seed, "mlp")
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [linear(*(scale * torch.randn(after, before, generator=rng)).tolist()), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def masked(net: nn.Sequential, seed: int, density: float) -> nn.Sequential:
    """A copy of which each weight is kept with probability `density`."""
    rng = generator(seed, "mask")
    layers = []
    for layer in net:
        if isinstance(layer, nn.Linear):
            kept = torch.rand(layer.weight.shape, generator=rng) < density
            layer = linear(*(layer.weight.detach() * kept).tolist())
        layers.append(layer)
    return nn.Sequential(*layers)


def test_one_linear_layer_over_the_ball_is_met_from_both_sides_by_its_norm():
    found = sup_error(linear([3.0, 0.0], [0.0, 4.0]), linear([0.0, 0.0], [0.0, 0.0]))
    assert found.upper == pytest.approx(4, rel=1e-8)
    assert found.lower == pytest.approx(4, rel=1e-4)
    assert float(found.at.norm()) == pytest.approx(1)


def test_one_output_over_the_cube_is_met_from_both_sides_by_its_l1_norm():
    found = sup_error(linear([1.0, -2.0, 3.0]), linear([0.0, 0.0, 1.0]), "cube")
    assert (found.upper, found.lower) == (pytest.approx(5, rel=1e-8), pytest.approx(5))
    assert found.certificate == "intervals"


def test_relu_of_one_sign_has_half_the_gap():
    """F(x) = max(x, 0), G = 0 on [-1, 1]: the sup is 1; the gap of -F is 1 too."""
    F, G = nn.Sequential(linear([1.0]), nn.ReLU()), nn.Sequential(linear([0.0]), nn.ReLU())
    found = sup_error(F, G, "cube")
    assert (found.upper, found.lower) == (pytest.approx(1), pytest.approx(1))


def test_a_bias_counts():
    F, G = linear([0.0, 0.0], bias=[3.0]), linear([0.0, 0.0], bias=[-1.0])
    assert sup_error(F, G).upper == pytest.approx(4)
    assert sup_error(F, G).lower == pytest.approx(4)


def test_equal_networks_have_no_error():
    net = mlp(0, 4, 6, 3)
    found = sup_error(net, net)
    assert found.lower == 0
    assert found.upper < 1e-9


@given(st.integers(0, 10_000), st.sampled_from(["ball", "cube"]), st.floats(0.1, 0.95))
@settings(max_examples=25, deadline=None)
def test_every_certificate_exceeds_what_is_attained(seed, domain, density):
    F = mlp(seed, 4, 8, 8, 3, scale=0.5)
    G = masked(F, seed, density)
    found = sup_error(F, G, domain, starts=8, steps=20, seed=seed)
    where = {"ball": Ball, "cube": Cube}[domain]((4,))
    bounds = certificates(chain(F, "F"), chain(G, "G"), where)
    assert set(bounds) == {"layers", "intervals", "apart"}
    assert all(found.lower <= bound for bound in bounds.values())
    gap = (F.double()(found.at) - G.double()(found.at)).norm().detach()
    assert float(gap) == pytest.approx(found.lower, rel=1e-6)


def test_ascent_finds_the_largest_of_all_corners():
    """A one-layer error is convex in each orthant: its sup is among {-1, 0, 1}^5."""
    F, G = (nn.Sequential(mlp(seed, 5, 4), nn.ReLU()) for seed in (1, 2))
    corners = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=5)))
    largest = float((F(corners) - G(corners)).detach().norm(dim=1).max())
    assert sup_error(F, G, "cube").lower == pytest.approx(largest, rel=1e-6)


def test_networks_whose_layers_do_not_correspond_are_bounded_apart():
    F, G = mlp(0, 3, 7, 2), mlp(1, 3, 5, 4, 2)
    found = sup_error(F, G)
    assert found.certificate == "apart"
    assert 0 < found.lower <= found.upper


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 3, padding=1, bias=False),
        nn.Conv2d(2, 3, 3, stride=2, bias=False),
        nn.Conv2d(2, 4, 3, padding=2, dilation=2, groups=2, bias=False),
        nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular", bias=False),
        nn.Conv2d(2, 3, (3, 5), padding="same", bias=False),
    ],
    ids=["zeros", "stride", "dilated groups", "circular", "same"],
)
def test_the_norm_on_the_torus_exceeds_that_of_the_matrix(layer, monkeypatch):
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator(4)))
    (step,) = chain(layer, "F")
    exact = step.norm(step.weight, (2, 6, 5))
    units = torch.eye(60).reshape(60, 2, 6, 5)
    matrix = layer(units).detach().flatten(1).double()
    assert exact == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-5)
    monkeypatch.setattr("prunekit.theory.chains.EXPLICIT", 0)
    assert exact * (1 - 1e-7) <= step.norm(step.weight, (2, 6, 5)) <= 2 * exact


def test_the_norm_on_the_torus_is_exact_where_the_layer_is_circular():
    """All ones, 3 x 3: the constant map has norm 9."""
    assert torus_norm(torch.ones(1, 1, 3, 3), (5, 5)) == pytest.approx(9)


def test_a_filter_is_spread_over_dilation_and_groups():
    full = spread(torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]]), (1, 2), 2)
    assert full.squeeze(2).tolist() == [[[1, 0, 2], [0, 0, 0]], [[0, 0, 0], [3, 0, 4]]]


def test_convolutional_networks_are_compared_over_images():
    rng = generator(0)
    nets = []
    for density in (1.0, 0.8):
        conv = nn.Conv2d(1, 4, 3, padding=1)
        head = nn.Linear(4 * 36, 2)
        with torch.no_grad():
            for tensor in (*conv.parameters(), *head.parameters()):
                values = torch.randn(tensor.shape, generator=generator(tensor.numel()))
                tensor.copy_(0.1 * values * (torch.rand(tensor.shape, generator=rng) < density))
        nets.append(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), head))
    found = sup_error(*nets, Ball((1, 6, 6)), starts=8)
    assert 0 < found.lower <= found.upper < math.inf
    assert found.upper < 10 * found.lower


def test_a_layer_corresponds_to_its_split_form():
    """[W', -W'] relu([x; -x]) against W x: the same gap as W' against W, but for a factor."""
    F, near = linear([1.0, -2.0], [0.5, 1.0]), linear([1.0, -1.5], [0.5, 1.0])
    whole = torch.cat([near.weight.detach(), -near.weight.detach()], dim=1).tolist()
    units = linear([1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0])
    found = sup_error(F, nn.Sequential(units, nn.ReLU(), linear(*whole)))
    assert found.certificate != "apart"
    assert 0.5 * (1 - 1e-4) <= found.lower <= found.upper <= 1.01


def test_a_network_pruned_by_the_oracle_is_near_its_target():
    rng = generator(0, "oracle")
    target = nn.Sequential(mlp(3, 3, 4, 2, scale=0.3), nn.ReLU())
    plain = nn.Sequential(*target[0], nn.ReLU())
    made = oracle_prune(plain, 1.0, 0.05, 0.05, generator=rng)
    found = sup_error(plain, made.module)
    assert 0 < found.lower <= found.upper <= 2 * made.error.certified


class Skipping(nn.Sequential):
    """An nn.Sequential that is none."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self[0](x)


def test_a_sequential_with_a_forward_of_its_own_is_traced():
    with pytest.raises(SpecError, match="F is no chain of layers"):
        sup_error(Skipping(nn.Linear(2, 2)), nn.Linear(2, 2))


class Own(nn.Module):
    """A module of anyone's: layers as attributes, functions in the forward pass."""

    def __init__(self, residual: bool = False, soft: bool = False) -> None:
        super().__init__()
        self.first, self.second = linear([1.0, -2.0], [0.5, 1.0]), linear([1.0, 1.0])
        self.residual, self.soft = residual, soft

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.first(torch.flatten(x, 1)))
        if self.soft:
            hidden = torch.tanh(hidden)
        return self.second(hidden + x if self.residual else hidden)


def test_a_module_of_your_own_is_traced():
    own = Own()
    same = nn.Sequential(nn.Flatten(), own.first, nn.ReLU(), own.second)
    other = nn.Sequential(nn.Flatten(), own.first, nn.ReLU(), linear([0.0, 0.0]))
    assert sup_error(own, same, Ball((2,))).upper < 1e-8
    found, spelled = sup_error(own, other, Ball((2,))), sup_error(same, other, Ball((2,)))
    assert (found.upper, found.lower) == (spelled.upper, spelled.lower)


@pytest.mark.parametrize(
    ("F", "message"),
    [
        (Own(residual=True), "F is no chain of layers: add joins"),
        (Own(soft=True), "F calls tanh, which is not covered"),
    ],
)
def test_a_module_that_does_more_is_refused_in_one_line(F, message):
    with pytest.raises(SpecError, match=message):
        sup_error(F, F, Ball((2,)))


@pytest.mark.parametrize(
    ("F", "G", "domain", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Tanh()), nn.Linear(2, 2), "ball", "layer 1 is a Tanh"),
        (nn.Linear(2, 2), nn.BatchNorm1d(2), "ball", "layer G is a BatchNorm1d"),
        (nn.Linear(2, 2), nn.Linear(3, 2), "ball", r"G cannot take inputs of \(2,\)"),
        (nn.Linear(2, 2), nn.Linear(2, 3), "ball", "F gives outputs of"),
        (nn.Linear(2, 2), nn.Linear(2, 2), "disc", "domain must be"),
        (nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1), "cube", "has no shape"),
        (linear([math.nan]), nn.Linear(1, 1), "ball", "layer F has a weight that is NaN"),
        (nn.Sequential(), nn.Linear(1, 1), "ball", "F has no layer"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.Linear(1, 1), "ball", "pads by"),
    ],
)
def test_what_is_not_covered_is_said_in_one_line(F, G, domain, message):
    with pytest.raises(SpecError, match=message):
        sup_error(F, G, domain)


def test_a_negative_radius_is_refused():
    with pytest.raises(SpecError, match="radius must be a finite number >= 0: -1"):
        Ball((2,), -1)
