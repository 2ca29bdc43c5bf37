"""Errata of papers B (Qian & Klabjan) and C (Bar & Giryes): what is printed fails, ours holds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prunekit.theory import VacuousBound, kernel_l1_mask, malach_layer_width
from prunekit.theory.occupancy import binomial_tail
from prunekit.theory.qian_klabjan_conv import last_layer_mean
from prunekit.theory.random_matrices import last_layer_norm
from prunekit.theory.random_networks import (
    balls_in_bins,
    chernoff_tail,
    global_magnitude_masks,
    latala_constant_floor,
    latala_rhs,
    magnitude_mask,
    magnitude_norm_gap,
    no_repeat_probability,
    pruned_count,
    qk_alpha_limit,
    qk_theorem3,
)
from prunekit.theory.sketch import (
    chi_mean_squared,
    ntk_pruning_bound,
    sketch_error,
    sketch_gaussian_error,
    sketch_gaussian_transfer_error,
    sketch_probabilities,
    uniform_mask_error,
)

FOUR_K = (3, 1.0, 512, 3, 10, 2160, 2160, 3)
"""Three layers, Lipschitz 1, 512 channels from 3 to 10 outputs, maps 2160 x 2160, kernels 3 x 3."""


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def test_b1_the_printed_limit_prunes_fewer_than_d_ln_d():
    d = 100
    pruned = {
        form: d ** (2 * (1 - qk_alpha_limit(d, d, form))) for form in ("printed", "corrected")
    }
    assert pruned["printed"] == pytest.approx(21.9, abs=0.1)
    assert pruned["printed"] < d * math.log(d) <= pruned["corrected"]


def test_b2_the_compression_ratio_is_the_share_pruned_and_not_kept():
    pruned = pruned_count(100, 100, 0.5)
    mask = magnitude_mask(generator().standard_normal((100, 100)), pruned)
    assert (~mask).mean() == pytest.approx(0.01)
    assert mask.mean() == pytest.approx(0.99)


@pytest.mark.parametrize(("mu", "deviation"), [(1000, 0.1), (400, 2.0)])
def test_b3_the_printed_chernoff_bound_is_below_the_tail(mu, deviation):
    trials = 10**6
    tail = binomial_tail(trials, mu / trials, math.ceil(mu * (1 + deviation) - 1e-9) - 1)
    forms = ("printed", "corrected", "tight")
    printed, corrected, tight = (chernoff_tail(mu, deviation, form)["bound"] for form in forms)
    assert printed < tail <= tight <= corrected


def test_b3_the_claim_of_lemma_6_holds_though_its_proof_gives_less():
    for n in (2, 10, 100, 1000, 10**5, 10**8):
        found = balls_in_bins(math.ceil(n * math.log(n)), n)
        assert found["union_exact"] <= found["claimed"]
    assert found["chernoff_correct"] > found["claimed"]


def test_b4_what_magnitude_removes_is_dependent_and_the_repaired_bound_holds():
    d, alpha, trials = 64, 0.3, 20
    removed = pruned_count(d, d, alpha)
    norms = []
    for seed in range(trials):
        weights = generator(seed).uniform(-1, 1, (d, d)) / math.sqrt(d)
        gap = np.where(magnitude_mask(weights, removed), 0, weights)
        assert np.count_nonzero(gap) == removed  # always the same number: not independent
        norms.append(np.linalg.norm(gap, 2))
    printed, corrected = (magnitude_norm_gap(d, alpha, form=f) for f in ("printed", "corrected"))
    assert np.mean(norms) < corrected < printed
    assert (corrected * d**0.6, printed * d**0.6) == pytest.approx((3.65, 5.04), abs=0.005)


def test_b5_the_mean_of_a_maximum_is_no_smaller_than_the_maximum_of_means():
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    assert signs.max(1).mean() == 0.5
    assert signs.mean(0).max() == 0


@pytest.mark.parametrize("p", [8, 16, 32])
def test_b6_the_last_layers_norm_is_about_one_at_every_size(p):
    d, dl, beta1 = 4, 10, 0.5
    norms = [last_layer_norm(generator(seed), p, d, dl) for seed in range(20)]
    assert min(norms) > 0.95 > p**-beta1
    assert 1 < np.mean(norms) <= last_layer_mean(1.0, 3.0, dl / d, p)


@pytest.mark.filterwarnings("ignore:the error:prunekit.theory.VacuousBound")
@pytest.mark.parametrize("p", [28, 32])
def test_b6_on_small_images_the_probability_is_negative(p):
    with pytest.warns(VacuousBound, match="the probability is only bounded by -"):
        found = qk_theorem3(3, 1.0, 512, 3, 10, p, p, 3, 0.5, 0.1, 0.05, 1.0, 3.0, 0.6)
    assert found["prob"] < 0


def test_b7_a_row_of_signs_needs_a_constant_near_one():
    n = 10**4
    norm, rhs = math.sqrt(n), latala_rhs(np.ones((1, n)).tolist(), np.ones((1, n)).tolist())
    assert 0.6 * rhs < norm <= 1.0 * rhs
    assert latala_constant_floor(n) == pytest.approx(norm / rhs)
    assert latala_constant_floor(10**6) == pytest.approx(0.968, abs=0.001)


def test_b8_a_mask_drawn_with_replacement_almost_never_has_all_its_zeros():
    cells, draws = 64**2, 512  # alpha = 1/2
    logarithm = math.lgamma(cells + 1) - math.lgamma(cells - draws + 1) - draws * math.log(cells)
    assert no_repeat_probability(draws, cells) == pytest.approx(math.exp(logarithm), rel=1e-8)
    assert no_repeat_probability(draws, cells) == pytest.approx(3e-15, rel=0.2)


def test_b8_one_threshold_prunes_wide_layers_more():
    rng = generator()
    weights = [rng.uniform(-1, 1, (d, d)) / math.sqrt(d) for d in (64, 512)]
    narrow, wide = (1 - mask.mean() for mask in global_magnitude_masks(weights, 20_000))
    assert wide > 2.5 * narrow


def test_b8_the_smallest_kernels_are_pruned_and_not_the_largest():
    mask = kernel_l1_mask([[[[1.0]], [[-3.0]], [[2.0]]]], 1)["mask"]
    assert mask.tolist() == [[False, True, True]]


def test_b6_even_at_four_thousand_pixels_the_error_is_above_the_networks_bound():
    with pytest.warns(VacuousBound, match="the error bound is 1.578 times"):
        found = qk_theorem3(*FOUR_K, 0.5, 0.1, 0.05, 1.0, 3.0, 0.6, t=1.0)
    assert found["pbar"] == pytest.approx(0.955, abs=0.001)
    assert found["prob_corrected"] < found["prob"]


@pytest.mark.filterwarnings("ignore:the error:prunekit.theory.VacuousBound")
def test_b9_the_input_has_d0_channels_and_not_d():
    found = qk_theorem3(*FOUR_K, 0.5, 0.1, 0.05, 1.0, 3.0, 0.6)
    assert found["error_bound"] == pytest.approx(found["error_bound_d0"] * math.sqrt(512 / 3))


def test_b9_a_layer_costs_the_fifth_power_of_its_width_and_a_weight_the_third():
    small, large = (malach_layer_width(n, 3, 0.1, 0.001 * n**2 / 10**4) for n in (100, 1000))
    assert large["per_weight"] / small["per_weight"] == pytest.approx(10**3, rel=1e-9)
    assert large["layer"] / small["layer"] == pytest.approx(10**5, rel=1e-9)


def test_c1_the_mean_square_of_one_draw_needs_a_square():
    X, w = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]]), np.array([0.5, -1.0, 2.0])
    y, p = w @ X, sketch_probabilities(X.tolist(), w.tolist())
    exact = sum(p[i] * np.sum((X[i] * w[i] / p[i] - y) ** 2) for i in range(3))
    assert sketch_error(X.tolist(), w.tolist(), 1) == pytest.approx(exact)
    assert sketch_error(X.tolist(), w.tolist(), 1, "printed") != pytest.approx(exact, rel=0.1)


@pytest.mark.filterwarnings("ignore:bound:prunekit.theory.VacuousBound")
def test_c2_equal_weights_are_far_above_the_printed_bound():
    printed, corrected, exact = (
        sketch_gaussian_error([1.0] * 50, 5, 4, form) for form in ("printed", "corrected", "exact")
    )
    assert printed == 10
    assert exact == pytest.approx(433, abs=0.5)
    assert printed < exact <= corrected


@pytest.mark.filterwarnings("ignore:bound:prunekit.theory.VacuousBound")
def test_c3_a_small_first_weight_is_far_above_the_printed_bound():
    printed, corrected, tight, exact = (
        sketch_gaussian_transfer_error([1.0, 0.01], [1.0, 1.0], 2, 3, form)
        for form in ("printed", "corrected", "tight", "exact")
    )
    assert printed == pytest.approx(2.00, abs=0.01)
    assert exact == pytest.approx(42.4, abs=0.1)
    assert printed < exact <= tight <= corrected * (1 + 1e-12)


def test_c4_sketching_saves_a_constant_and_no_factor_d():
    def ratio(w: list[float]) -> float:
        return sketch_gaussian_error(w, 1, 200, "exact") / uniform_mask_error(w, 1, "exact")

    for d in (100, 1000, 10_000):
        assert ratio([1.0] * d) == pytest.approx(chi_mean_squared(200))
        assert ratio(generator(d).standard_normal(d).tolist()) == pytest.approx(
            2 / math.pi, abs=0.1
        )


@pytest.mark.filterwarnings("ignore:bound:prunekit.theory.VacuousBound")
def test_c5_the_weights_of_theorem_4_4_are_squared():
    start, final = [1.0, 0.5], [0.5, 2.0]
    once, twice = (
        sketch_gaussian_transfer_error(start, [scale * w for w in final], 2, 3, "exact")
        for scale in (1, 2)
    )
    assert twice == pytest.approx(4 * once)  # w*/|w0| without the square would not be
    unsquared = 1.5 * sum(w / s for w, s in zip(final, start)) / 2
    tight = sketch_gaussian_transfer_error(start, final, 2, 3, "tight")
    assert unsquared < once <= tight


@pytest.mark.filterwarnings("ignore:bound:prunekit.theory.VacuousBound")
def test_c5_the_printed_powers_of_k_are_only_loose():
    arguments = {"s": 10, "l1_theta0": 4.0, "F_J": 3.0, "F_theta0": 7.0, "d": 20, "R0": 0.2}
    arguments["lam_min"] = 0.5
    tight, printed = (
        ntk_pruning_bound(K=1.5, **arguments, form=form) for form in ("tight", "printed")
    )
    assert tight < printed
    same = [ntk_pruning_bound(K=1.0, **arguments, form=form) for form in ("tight", "printed")]
    assert same[0] == pytest.approx(same[1])
