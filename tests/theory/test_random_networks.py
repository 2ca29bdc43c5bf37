from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import SpecError
from prunekit.theory import VacuousBound, random_networks
from prunekit.theory.occupancy import binomial_tail
from prunekit.theory.random_networks import (
    balls_in_bins,
    conv_operator_matrix,
    conv_operator_norm,
    kept_fraction_with_replacement,
    latala_rhs,
    no_repeat_probability,
    qk_theorem1,
    qk_theorem2,
    qk_theorem3,
    uniform_order_statistic_moment,
)

ONE = {"l": 4, "L_prod": 1.0, "c0": 1.2, "delta_0": 0.005, "K": 1.0, "eps": 0.1, "delta": 0.05}
TWO = {"l": 4, "L_prod": 1.0, "N": [2.0] * 4, "deltas": [1e-3] * 4, "K1": 1 / 3, "K2": 0.2}
TWO |= {"eps": 0.1, "delta": 0.05}
THREE = {"l": 3, "L": 1.0, "d": 512, "d0": 3, "dl": 10, "p": 32, "p0": 32, "q": 3}
THREE |= {"alpha": 0.5, "beta1": 0.1, "beta2": 0.05, "C1": 1.0, "C2": 3.0}

REFUSED = [
    ("qk_alpha_limit", {"d_k": 2, "d_km1": 9}, "d_k must be an int >= 3: 2"),
    ("qk_alpha_limit_conv", {"d": 2}, "d must be an int >= 3: 2"),
    ("qk_theorem1", {**ONE, "alpha": 1.0}, "alpha must lie in (0, 1): 1.0"),
    ("qk_theorem1", {**ONE, "alpha": 0.5, "l": 2}, "l must be an int >= 3: 2"),
    ("qk_theorem2", {**TWO, "alpha": 0.3, "N": [2.0] * 3}, "must have one length: N 3, deltas 4"),
    ("qk_theorem2", {**TWO, "alpha": 0.3, "N": [2, 2, 0.5, 2]}, "N[2] must be a finite number"),
    ("qk_theorem2", {**TWO, "alpha": 0.3, "delta": 0.007}, "delta must be > 0.007"),
    ("qk_theorem3", {**THREE, "alpha": 0.9}, "alpha must lie in (0, 0.7"),
    ("qk_theorem3", {**THREE, "beta2": 0.125}, "beta2 must be < alpha/4 = 0.125"),
    ("qk_theorem3", {**THREE, "q": 33}, "p must be >= q: p 32, q 33"),
    ("qk_theorem1", {**ONE, "alpha": 0.5, "l": 5000}, "l must be smaller, C2 passes what a float"),
    ("qk_theorem2", {**TWO, "alpha": 0.3, "l": 2000, "N": [2] * 2000, "deltas": [0] * 2000},
     "l must be smaller, C2 passes what a float"),
    ("qk_theorem3", {**THREE, "l": 9000, "L": 2.0}, "l must be smaller, error_bound passes what a"),
    ("uniform_order_statistic_moment", {"n": 3, "r": 4, "a": 1.0, "p": 1}, "r must lie in 1, ..."),
    ("latala_rhs", {"var": [[1.0]], "fourth": [[1.0, 2.0]]}, "have var's shape (1, 1)"),
    ("latala_rhs", {"var": [[-1.0]], "fourth": [[1.0]]}, "min(var) must be a finite number >= 0"),
    ("spectral_delta0", {"q": 1.0, "n": 3}, "q must lie in (0, 1): 1.0"),
    ("balls_in_bins", {"N": 3, "n": 1}, "n must be an int >= 2: 1"),
    ("conv_operator_norm", {"F": [[[[1.0, 1.0]] * 2]], "p": 1}, "p must be >= q = 2"),
    ("conv_operator_norm", {"F": [[[[1.0, 1.0]]]], "p": 4}, "hold square kernels"),
    ("conv_operator_norm", {"F": [[1.0]], "p": 4}, "F must have 4 axes"),
    ("conv_operator_norm", {"F": [[[[math.nan]]]], "p": 4}, "F must hold finite numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED)
def test_an_argument_outside_its_domain_is_refused_by_name_value_and_domain(
    name, arguments, message
):
    with pytest.raises(SpecError) as caught:
        getattr(random_networks, name)(**arguments)
    assert message in str(caught.value)


def test_a_width_that_no_float_holds_comes_as_a_logarithm():
    found = qk_theorem1(**ONE, alpha=0.005)
    assert found["d_min"] == math.inf
    assert found["log10_d_min"] == pytest.approx(math.log10(found["C3"] / 0.05) / 0.005)
    found = qk_theorem2(**TWO, alpha=0.5)
    assert found["log10_d_min"] == pytest.approx(math.log10(found["d_min"]))


def test_a_constant_over_a_thousand_layers_is_found_where_a_float_holds_it():
    """c0 = 1/2: (2^(l-2) - 1) / 2^(l-1) is 1/2."""
    assert qk_theorem1(**{**ONE, "c0": 0.5, "l": 1000}, alpha=0.5)["C2"] == pytest.approx(0.5)


def test_a_theorem_says_what_it_promises_at_the_width_it_asks_for():
    found = qk_theorem1(**ONE, alpha=0.5)
    at = qk_theorem1(**ONE, alpha=0.5, d=math.ceil(found["d_min"]))
    assert at["p0"] >= 1 - ONE["delta"]
    assert at["error_bound"] <= ONE["eps"] * (1 + 1e-9)
    assert at["precond"]


def test_bounds_that_say_nothing_warn():
    with pytest.warns(VacuousBound, match="the probability is only bounded by"):
        qk_theorem1(**ONE, alpha=0.5, d=4096, C_latala=50.0)
    with pytest.warns(VacuousBound) as caught:
        qk_theorem2(**TWO, alpha=0.3, d=64)
    assert [warning.filename for warning in caught] == [__file__] * 2
    with pytest.warns(VacuousBound, match="times the bound on the output"):
        qk_theorem3(**THREE, C_latala=1e-3)
    with pytest.warns(VacuousBound, match="union over bins"):
        balls_in_bins(20, 1000)


def test_order_statistics_are_those_of_sorted_squares():
    """100,000 samples of 5: four standard errors, 99.99 %."""
    squares = np.sort(np.random.Generator(np.random.Philox(2)).random((100_000, 5)) ** 2, axis=1)
    for r in (1, 3, 5):
        exact = uniform_order_statistic_moment(5, r, 1.0, 1)
        second = uniform_order_statistic_moment(5, r, 1.0, 2)
        error = math.sqrt((second - exact**2) / 100_000)
        assert abs(squares[:, r - 1].mean() - exact) < 4 * error


@given(st.integers(2, 60), st.integers(2, 20))
def test_the_union_over_bins_is_the_sum_of_binomial_terms(balls, bins):
    most = 3 * balls // bins
    terms = [
        math.comb(balls, j) * (bins - 1) ** (balls - j) / bins**balls
        for j in range(most + 1, balls + 1)
    ]
    assert binomial_tail(balls, 1 / bins, most) == pytest.approx(math.fsum(terms), rel=1e-9)


def test_the_tail_of_many_balls_is_poissons():
    mean, balls = 20.0, 4 * 10**9
    poisson = math.fsum(math.exp(-mean + j * math.log(mean) - math.lgamma(j + 1))
                        for j in range(61, 200))  # fmt: skip
    assert binomial_tail(balls, mean / balls, 60) == pytest.approx(poisson, rel=1e-6)


def test_draws_with_replacement_repeat_and_leave_more():
    assert no_repeat_probability(3, 4) == pytest.approx(3 / 4 * 2 / 4)
    assert no_repeat_probability(5, 4) == 0
    assert no_repeat_probability(10**7, 10**8) == 0
    assert kept_fraction_with_replacement(2, 4) == pytest.approx(9 / 16)
    assert kept_fraction_with_replacement(1, 1) == 0


def test_latalas_bound_holds_with_constant_one_for_gaussian_entries():
    """Means of 200 norms; the bound is a third above them."""
    rng = np.random.Generator(np.random.Philox(3))
    scales = rng.random((12, 20))
    norms = np.linalg.norm(rng.standard_normal((200, 12, 20)) * scales, 2, axis=(1, 2))
    assert norms.mean() <= latala_rhs((scales**2).tolist(), (3 * scales**4).tolist())


@pytest.mark.parametrize(("out", "into", "q", "p"), [(3, 2, 2, 5), (1, 4, 3, 3), (4, 4, 3, 8)])
def test_the_norm_of_a_convolution_is_that_of_its_matrix(out, into, q, p):
    kernels = torch.randn(
        out, into, q, q, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    matrix = conv_operator_matrix(kernels, p)
    norm = float(torch.linalg.matrix_norm(matrix, 2))
    assert conv_operator_norm(kernels, p) == pytest.approx(norm, rel=1e-10, abs=0)


def test_the_matrix_of_a_convolution_convolves():
    rng = torch.Generator().manual_seed(1)
    kernels, maps = (torch.randn(shape, dtype=torch.float64, generator=rng)
                     for shape in [(3, 2, 2, 2), (1, 2, 5, 5)])  # fmt: skip
    padded = torch.nn.functional.pad(maps, (0, 1, 0, 1), mode="circular")
    wanted = torch.nn.functional.conv2d(padded, kernels).reshape(-1)
    torch.testing.assert_close(conv_operator_matrix(kernels, 5) @ maps.reshape(-1), wanted)
