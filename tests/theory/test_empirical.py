"""Monte Carlo of prunekit itself, beside exact values; every bound is four standard errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from prunekit.errors import SpecError
from prunekit.theory import empirical
from prunekit.theory.bounds import iterand_event_probability
from prunekit.theory.empirical import iterand_monte_carlo, latala_constant, spectral_norm_table
from prunekit.theory.random_networks import spectral_delta0

REFUSED = [
    ("spectral_norm_table", {"n1": 3, "n2": 3, "trials": 1}, "trials must be an int >= 2: 1"),
    ("spectral_norm_table", {"n1": 0, "n2": 3}, "n1 must be an int >= 1: 0"),
    ("latala_constant", {"d": 8, "dist": "cauchy"}, "dist must be one of uniform, normal"),
    ("latala_constant", {"d": 8, "alpha": 1.5}, "alpha must lie in (0, 1): 1.5"),
    ("latala_constant", {"d": 8, "what": "removed"}, "nothing is removed"),
    ("iterand_monte_carlo", {"w": 1.0, "eps": 0.1, "delta": 0.1, "R": 1, "d": 3, "trials": 9},
     "d must be even: 3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED)
def test_an_argument_outside_its_domain_is_refused_by_name_value_and_domain(
    name, arguments, message
):
    with pytest.raises(SpecError) as caught:
        getattr(empirical, name)(**arguments)
    assert message in str(caught.value)


def test_a_seed_gives_the_same_table_however_it_is_cut_into_pieces(monkeypatch):
    whole = spectral_norm_table(6, 4, trials=50, seed=3)
    monkeypatch.setattr(empirical, "ENTRIES", 24 * 7)
    assert spectral_norm_table(6, 4, trials=50, seed=3) == pytest.approx(whole)
    assert spectral_norm_table(6, 4, trials=50, seed=4) != pytest.approx(whole)


def test_the_table_carries_quantiles_their_delta0_and_the_limit():
    found = spectral_norm_table(64, 32, trials=200)
    assert found["q95"] <= found["q99"] <= found["q9999"]
    assert found["delta0_95"] == spectral_delta0(0.95, 64)
    assert found["mean"] == pytest.approx(found["asymptote"], rel=0.05)


def test_a_norm_scales_with_k():
    one, two = (spectral_norm_table(8, 8, K, trials=20)["mean"] for K in (1.0, 2.0))
    assert two == pytest.approx(2 * one)


@pytest.mark.parametrize("replacement", [True, False])
def test_what_is_kept_and_what_is_removed_share_the_entries(replacement):
    shares = [
        latala_constant(16, alpha=0.2, trials=4, what=what, replacement=replacement)["share"]
        for what in ("kept", "removed")
    ]
    assert sum(shares) == pytest.approx(1)
    drawn = math.floor(16**1.8)
    assert shares[0] == pytest.approx((1 - 1 / 256) ** drawn if replacement else 1 - drawn / 256)


def test_moments_that_are_estimated_bias_the_constant_down():
    found = latala_constant(16, "normal", trials=100)
    assert found["C"] < found["C_exact_moments"] < 1


@pytest.mark.parametrize(("w", "R", "d"), [(1.0, 8, 30), (0.0, 4, 16), (-0.5, 1, 400)])
def test_the_event_fails_as_often_as_its_exact_probability_says(w, R, d):
    trials = 4000
    found = iterand_monte_carlo(w, 0.25, 0.05, R, d, trials, seed=1)
    exact = 1 - iterand_event_probability(w, 0.25, d, R)
    error = math.sqrt(exact * (1 - exact) / trials)
    assert abs(found["event_failure"] - exact) < 4 * error
    assert found["claimed"] == 0.05


def test_the_one_entry_of_a_one_by_one_matrix_is_never_pruned():
    with pytest.raises(SpecError, match="d must be an int >= 2 where alpha is given"):
        latala_constant(1, alpha=0.5)


@pytest.mark.parametrize("K", [1e-300, 1e-100, 1e100, 1e300])
def test_latalas_constant_has_no_scale_however_small_the_weights(K):
    one, scaled = latala_constant(8, trials=20), latala_constant(8, K=K, trials=20)
    assert scaled["C"] == one["C"]
    assert scaled["C_exact_moments"] == one["C_exact_moments"]
    assert scaled["mean_norm"] == pytest.approx(K * one["mean_norm"], rel=1e-15)


@pytest.mark.parametrize(
    ("d", "alpha", "drawn"), [(32, 0.6, 128), (32, 1.4e-9, 1023), (9, 0.5, 27)]
)
def test_as_many_entries_are_drawn_as_the_exact_power_says(d, alpha, drawn):
    share = latala_constant(d, alpha=alpha, trials=1, replacement=False)["share"]
    assert share == 1 - drawn / d**2


def test_quantiles_of_weights_of_any_scale_are_refused_or_scaled():
    one, small = (spectral_norm_table(8, 8, K, trials=20) for K in (1.0, 1e-300))
    assert small["q99"] == pytest.approx(1e-300 * one["q99"], rel=1e-12)
    with pytest.raises(SpecError, match=r"asymptote.* passes what a float"):
        spectral_norm_table(8, 8, 1.7e308, trials=2)


def test_sizes_and_seeds_of_numpy_and_torch_give_the_same_draws():
    plain = latala_constant(8, alpha=0.25, trials=3, seed=1)
    packed = latala_constant(
        np.int32(8), alpha=torch.tensor(0.25), trials=np.uint8(3), seed=np.array(1)
    )
    assert packed == plain
    plain = iterand_monte_carlo(1, 0.25, 0.05, 2, 4, 50)
    assert iterand_monte_carlo(*map(np.array, (1, 0.25, 0.05, 2, 4, 50))) == plain


def test_matrices_that_no_memory_holds_are_refused_by_their_size():
    for call in (
        lambda: spectral_norm_table(10**10, 10**10),
        lambda: latala_constant(10**10),
        lambda: iterand_monte_carlo(1, 0.25, 0.05, 10**20, 4, 10),
    ):
        with pytest.raises(SpecError, match="the sizes must give at most"):
            call()
