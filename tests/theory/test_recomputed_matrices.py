"""Norms and moments of random matrices in 50 digits and fractions, and drawn (paper B)."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from mpmath import ln, mpf, pi, sqrt

from prunekit import theory
from prunekit.errors import SpecError
from tests.theory.recomputing import RANDOM, checked, fits, said, same, spread


def test_moments_of_order_statistics_in_fractions():
    rng = random.Random(6)
    edges = [
        (1, 1, 1.0, 0),
        (1, 1, 1e-150, 1),
        (5, 5, 1e150, 1),
        (7, 3, 1e200, 1),
        (9, 9, 0.5, 400),
    ]
    sizes = [
        (rng.randint(1, 300), spread(rng, 1e-3, 1e3), rng.randint(0, 12)) for _ in range(RANDOM)
    ]
    for n, r, a, p in [*((n, rng.randint(1, n), a, p) for n, a, p in sizes), *edges]:
        wanted = Fraction(a) ** (2 * p)
        for j in range(2 * p):
            wanted *= Fraction(r + j, n + 1 + j)
        given = mpf(wanted.numerator) / wanted.denominator
        found, _ = said(theory.uniform_order_statistic_moment, np.int32(n), r, a, p)
        if fits({"": given}):
            same(found, given)
        else:
            assert isinstance(found, SpecError)


def test_latalas_bound_at_every_scale():
    rng = np.random.default_rng(7)
    for index in range(RANDOM + 50):
        shape = rng.integers(1, 5, 2)
        var = rng.random(shape) * 10.0 ** (rng.integers(-150, 150) if index >= RANDOM else 0)
        fourth = var**2 * (1 + rng.random(shape))
        exact, moments = ([[mpf(x) for x in row] for row in m.tolist()] for m in (var, fourth))
        wanted = (sqrt(max(map(sum, exact))) + sqrt(max(map(sum, zip(*exact))))
                  + sum(map(sum, moments)) ** mpf(0.25))  # fmt: skip
        same(theory.latala_rhs(var, torch.tensor(fourth)), wanted)
    with pytest.raises(
        SpecError, match=r"fourth must be at least the square of its variance: 3\.9"
    ):
        theory.latala_rhs([[2.0]], [[3.9]])


def test_constants_of_random_matrices():
    rng = random.Random(8)
    for index in range(RANDOM + 50):
        high = 1e9 if index < RANDOM else 1e290
        n1, n2, K = int(spread(rng, 1, high)), int(spread(rng, 1, high)), spread(rng, 1e-5, 1e5)
        q = rng.choice([rng.random(), 1 - 2**-52, 1e-300])
        n = max(n1, n2)
        same(theory.latala_constant_floor(n1), sqrt(n1) / (sqrt(n1) + 1 + mpf(n1) ** mpf(0.25)))
        same(theory.spectral_delta0(q, n1), -ln((1 - mpf(q)) / 2) / (4 * n1))
        wanted = mpf(K) * (sqrt(n1) + sqrt(n2)) / sqrt(3 * mpf(n))
        same(theory.spectral_norm_asymptote(n1, n2, K), wanted)


def test_gaps_of_magnitude_pruning():
    rng = random.Random(9)
    for index in range(RANDOM + 50):
        d = int(spread(rng, 1, 1e6 if index < RANDOM else 1e300))
        alpha, K, C = rng.uniform(0.01, 0.99), spread(rng, 1e-3, 1e3), rng.uniform(0.5, 4)
        power = mpf(d) ** (-2 * mpf(alpha)) * K * C
        for form, constant in (("printed", 2 * sqrt(2) + mpf(24) ** 0.25),
                               ("corrected", 4 / sqrt(3) + 2 / mpf(5) ** 0.25)):  # fmt: skip
            vacuous = power * constant >= K * sqrt(pi / 2)
            wanted = {"": constant * power}
            checked(wanted, vacuous, theory.magnitude_norm_gap, d, alpha, K, C, form)


def test_norm_bounds_at_random_and_at_the_values_of_the_facts():
    rng = random.Random(10)
    for _ in range(RANDOM):
        n1, n2, K = int(spread(rng, 1, 1e6)), int(spread(rng, 1, 1e6)), spread(rng, 1e-3, 1e3)
        n, delta = max(n1, n2), spread(rng, 1e-30, 0.9)
        mean = K * sqrt(pi / 8) * (sqrt(n1) + sqrt(n2)) / sqrt(n)
        bound = theory.uniform_norm_bound(n1, n2, delta, K)
        same(bound, mean + 2 * K * sqrt(ln(1 / mpf(delta)) / (pi * n)))
        found = theory.uniform_norm_tail(n1, n2, bound, K)
        assert found["tail"] == pytest.approx(delta, rel=1e-6)
        assert found["mean_bound"] == pytest.approx(float(mean))
    found = theory.uniform_norm_tail(100, 300, 1.2)
    assert found["tail"] == pytest.approx(2.635098663402865e-05, rel=1e-10)
    assert found["delta0"] == pytest.approx(0.008786670700217703, rel=1e-10)
    assert said(theory.uniform_norm_tail, 100, 100, 1.25)[1]


def test_norms_that_are_drawn_pass_their_limit_often_and_the_proved_bound_never():
    """400 of 100 x 100: P = .08 of the limit 2/sqrt 3 is 10 to 60 of them, 99.99 %."""
    rng = np.random.default_rng(11)
    norms = np.linalg.norm(rng.uniform(-0.1, 0.1, (400, 100, 100)), 2, axis=(1, 2))
    assert norms.mean() < theory.uniform_norm_tail(100, 100, 2.0)["mean_bound"]
    assert 10 < (norms > theory.spectral_norm_asymptote(100, 100)).sum() < 60
    assert norms.max() < theory.uniform_norm_bound(100, 100, 0.01)


def test_the_norm_of_a_convolution_is_that_of_its_matrix_at_every_scale():
    rng = np.random.default_rng(18)
    for index in range(200):
        out, into, q = rng.integers(1, 4, 3)
        p = q + int(rng.integers(0, 3))
        scale = 10.0 ** rng.integers(-300, 300) if index >= 150 else 1.0
        F = rng.standard_normal((out, into, q, q)) * scale
        matrix = np.zeros((out, p, p, into, p, p))
        for a, b, i, j in np.ndindex(p, p, q, q):
            matrix[:, a, b, :, (a + i) % p, (b + j) % p] += F[:, :, i, j] / scale
        wanted = float(np.linalg.norm(matrix.reshape(out * p * p, into * p * p), 2))
        assert theory.conv_operator_norm(F, p) / scale == pytest.approx(wanted, rel=1e-12)
        assert np.array_equal(
            theory.conv_operator_matrix(F / scale, p).numpy(), matrix.reshape(out * p * p, -1)
        )
