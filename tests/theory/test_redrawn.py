from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from prunekit.errors import SpecError
from prunekit.theory import iterand_construct, iterand_event_probability
from prunekit.theory.redrawn import IterandPruned, RedrawnLayer
from tests.theory.constructions import seeded
from tests.theory.targets import points, target

W = [[0.3, -0.5], [0.8, 0.1]]


def pruned(W: object = W, seed: int = 0, **given: object) -> IterandPruned:
    return iterand_construct(
        W, **{"eps": 0.5, "delta": 0.1, "R": 4, **given}, generator=seeded(seed)
    )


def test_the_pruned_layer_is_within_eps_on_the_cube():
    network = pruned(eps=0.3)
    x = points(2000, 2)
    x = x / x.abs().amax(1, keepdim=True)
    gap = (network.module(x) - x @ torch.tensor(W, dtype=torch.float64).T).norm(dim=1).max()
    assert network.success
    assert 0 < gap <= network.sup_error <= 0.3
    assert network.error.sampled <= network.sup_error


def test_kept_neurons_lie_in_their_input_s_block_and_half_and_have_the_weights():
    network = pruned()
    mask, width = network.masks[0], network.widths[0]
    assert np.array_equal(mask.neurons // (width // 2), mask.inputs)
    assert len(mask.neurons) == 8  # 2 outputs, 2 inputs, 2 halves
    second_half = mask.neurons % (width // 2) >= width // 4
    sign = np.where(second_half, -1, 1)
    w = np.array(W)[mask.outputs, mask.inputs]
    seed = int(torch.randint(2**62, (), generator=seeded(0)))
    layer = RedrawnLayer(seed, 0, 4, width)
    rows = np.arange(8)
    u = layer.into(mask.neurons)[rows, mask.into_draws]
    v = np.array([layer.out(mask.neurons, b)[z] for z, b in enumerate(mask.outputs)])
    v = v[rows, mask.out_draws]
    assert np.abs(u - sign).max() <= network.eta[0] / 2
    assert np.abs(v - sign * w).max() <= network.eta[0] / 2


def test_more_draws_need_fewer_neurons():
    once, often = pruned(R=1), pruned(R=8)
    assert often.widths[0] < once.widths[0] / 10
    assert often.success


@pytest.mark.parametrize("domain", ["unit_ball", "unit_cube"])
def test_a_network_of_two_layers_is_made_by_theorem_a1(domain):
    matrices = [matrix * 0.5 for matrix in target(3, 3, 2)]
    network = pruned(matrices, eps=0.6, domain=domain)
    x = points(500, 3)
    if domain == "unit_cube":
        x = x / x.abs().amax(1, keepdim=True)
    expected = (x @ matrices[0].T).relu() @ matrices[1].T
    gap = (network.module(x) - expected).norm(dim=1).max()
    assert 0 < gap <= network.sup_error <= 0.6
    assert network.module(x).min() < 0  # paper A's output has no ReLU


@pytest.mark.parametrize(("R", "printed", "corrected"), [(8, 30, 42)])
def test_the_printed_width_fails_more_often_than_delta_the_corrected_one_does_not(
    R, printed, corrected
):
    """Erratum A1, w = 1, eps = 0.25, delta = 0.05: the event of the proof fails with 0.1347.

    1,200 draws each; a share is within 4 standard errors of its mean with confidence 99.99 %.
    """
    trials = 1200
    failures = {}
    for width in (printed, corrected):
        found = [pruned([[1.0]], seed, eps=0.25, delta=0.05, R=R, width=width).success
                 for seed in range(trials)]  # fmt: skip
        share = 1 - sum(found) / trials
        exact = 1 - iterand_event_probability(1.0, 0.25, width, R)
        assert abs(share - exact) < 4 * (exact * (1 - exact) / trials) ** 0.5
        failures[width] = share
    network = pruned([[1.0]], eps=0.25, delta=0.05, R=R)
    assert (network.printed_widths, network.widths) == ([printed], [corrected])
    assert failures[printed] > 0.1 > 0.05 > failures[corrected]


def test_a_missing_neuron_is_counted_and_its_weight_is_zero():
    network = pruned([[1.0]], eps=0.01, R=1, width=2)
    assert not network.success
    assert network.missing == 2
    assert network.module(torch.ones(1, 1)).item() == 0
    assert network.sup_error == pytest.approx(1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"W": [[1.5]]}, r"W\[0\] has a weight of 1.5; \|w\| <= 1 is expected"),
        ({"W": [[float("nan")]]}, r"W\[0\] holds NaN or infinity"),
        ({"W": []}, "W is empty"),
        ({"W": [[[0.9, 0.9]], [[0.1]]]}, r"W\[0\] has Frobenius norm 1.27279; Theorem A.1 needs"),
        ({"W": nn.Linear(2, 2)}, "has a bias: not covered"),
        ({"eps": -1.0}, "eps must be a finite number > 0: -1.0"),
        ({"delta": 1}, r"delta must lie in \(0, 1\): 1"),
        ({"R": 0}, "R must be an int >= 1: 0"),
        ({"width": 630}, "width must be a multiple of 2 d_in = 4: 630"),
        ({"domain": "ball"}, "domain must be one of unit_ball, unit_cube"),
    ],
)
def test_what_cannot_be_built_is_refused(given, message):
    with pytest.raises(SpecError, match=message) as caught:
        pruned(**given)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_and_torch_give_the_same_network():
    plain, packed = (
        iterand_construct(weights, *rest, generator=seeded(0))
        for weights, *rest in (
            (W, 0.5, 0.125, 4),
            (torch.tensor(W, dtype=torch.float64), np.float32(0.5), np.array(0.125), np.int32(4)),
        )
    )
    assert packed.error == plain.error
    assert packed.counts == plain.counts


@pytest.mark.parametrize("eps", [1e-5, 1e-200])
def test_more_neurons_than_have_numbers_are_refused(eps):
    with pytest.raises(SpecError, match=r"^eps \S+ asks for \S+ neurons; at most 4294967296"):
        iterand_construct(W, eps)
