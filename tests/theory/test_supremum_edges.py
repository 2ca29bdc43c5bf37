"""The sup error of networks whose numbers leave what squares of float64 hold; arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from prunekit.errors import SpecError
from prunekit.theory import Ball, Cube, sup_error


def network(*matrices: list[list[float]]) -> nn.Sequential:
    """Linear layers without biases, with a ReLU between."""
    layers: list[nn.Module] = []
    for rows in matrices:
        weight = torch.tensor(rows, dtype=torch.float64)
        layer = nn.Linear(*weight.T.shape, bias=False, dtype=torch.float64)
        layer.weight = nn.Parameter(weight)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-5, 1e200, 1e300])
def test_one_row_errs_by_its_length_at_every_scale(size):
    """sup over the ball of |(3 s, 4 s) x| is 5 s."""
    found = sup_error(network([[3 * size, 4 * size]]), network([[0.0, 0.0]]))
    assert 5 * size * (1 - 1e-12) <= found.upper <= 5 * size * (1 + 1e-8)
    assert 4.9 * size < found.lower <= found.upper


def test_random_rows_err_by_their_lengths():
    rng = np.random.Generator(np.random.Philox(3))
    for _ in range(50):
        rows = rng.standard_normal((2, 1, 4)) * 10.0 ** rng.integers(-180, 180)
        exact = math.hypot(*(rows[0] - rows[1])[0])
        found = sup_error(network(rows[0].tolist()), network(rows[1].tolist()), starts=4, steps=2)
        assert exact * (1 - 1e-12) <= found.upper <= exact * (1 + 1e-8)


def test_an_error_below_every_float_is_not_certified_as_none():
    found = sup_error(network([[1e-200]], [[1e-200]]), network([[0.0]], [[0.0]]))
    assert found.upper > 0
    amplified = sup_error(
        network([[1e-200]], [[1e-200]], [[1e300]]), network([[0.0]], [[0.0]], [[0.0]])
    )
    assert amplified.upper >= 1e-100  # what it is


def test_equal_networks_do_not_err():
    assert sup_error(network([[1.0, -2.0]]), network([[1.0, -2.0]])).upper == 0


def test_an_error_past_every_float_is_refused():
    with pytest.raises(SpecError, match=r"sup_error passes what a float holds \(1e308\)"):
        sup_error(network([[1e200]], [[1e200]]), network([[0.0]], [[0.0]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: sup_error(f, f, starts=0), "starts must be an int >= 1: 0"),
        (lambda f: sup_error(f, f, steps=-1), "steps must be an int >= 0: -1"),
        (lambda f: sup_error(f, f, seed=1.5), "seed must be an int >= 0: 1.5"),
        (lambda f: sup_error(f, f, 3), "domain must be 'ball', 'cube', Ball"),
        (lambda f: sup_error(f, 3), "G must be a torch module: 3"),
        (lambda f: Ball(3), "shape must list the sizes"),
        (lambda f: Ball(()), "shape must list the sizes"),
        (lambda f: Cube((0,)), r"shape\[0\] must be an int >= 1: 0"),
        (lambda f: Cube((2.0,)), r"shape\[0\] must be an int >= 1: 2.0"),
        (lambda f: Ball((1,), True), "radius must be a finite number >= 0: True"),
        (lambda f: Ball((1,), "1"), "radius must be a finite number >= 0: '1'"),
    ],
)
def test_what_is_no_argument_is_refused_in_one_line(call, message):
    with pytest.raises(SpecError, match=f"^{message}"):
        call(network([[1.0]]))


def test_shapes_and_counts_of_numpy_and_torch_are_taken():
    f, g = network([[1.0, 2.0]]), network([[0.0, 1.0]])
    plain = sup_error(f, g, Ball((2,), 0.5), starts=4, steps=3)
    domain = Ball(torch.tensor([2]), np.float32(0.5))
    packed = sup_error(f, g, domain, starts=np.int32(4), steps=torch.tensor(3), seed=np.array(0))
    assert (packed.upper, packed.lower) == (plain.upper, plain.lower)
