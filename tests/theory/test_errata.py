"""Errata of papers A (IteRand) and D (Logarithmic Pruning): what is printed fails, ours holds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from prunekit.theory.bounds import (
    anytime_density,
    fill_categories_samples,
    iterand_event_probability,
    iterand_resampling_threshold,
    iterand_width,
    layer_recursion_bound,
    orseau_architecture,
    orseau_layer_width,
    orseau_num_bits,
    orseau_weight_accuracy,
    positive_sequence_bound,
    product_weight_density,
)

EXAMPLE_5 = {"n_out": 100, "n_in": 100, "depth": 10, "n_star": 10**5, "delta": 0.01}
"""Ten layers of 100 x 100, norms 1, eps = delta = 0.01, w_max = 1."""


def bits_of_example_5() -> dict[str, float]:
    accuracy = orseau_weight_accuracy(0.01, 10, 100, norm_product=1.0, form="printed")
    return {**orseau_num_bits(1.0, accuracy), "eps_w": accuracy}


@pytest.mark.parametrize("draws", [2, 4, 8, 16, 32])
def test_a1_pairs_of_one_neurons_draws_are_not_independent(draws):
    printed, corrected = (
        iterand_width("A4", 0.25, 0.05, draws, form=form) for form in ("printed", "corrected")
    )
    assert 1 - iterand_event_probability(1.0, 0.25, printed, draws) > 0.05
    assert 1 - iterand_event_probability(1.0, 0.25, corrected, draws) <= 0.05


def test_a1_no_mask_at_all_exists_three_times_as_often_as_printed():
    """w = 1: one neuron needs max u max v >= 1 - eps, the other the same of -u and -v.

    Two million networks of width 2 at R = 63: at the promised rate of 1e-4, 400 or more failures
    would be 14 standard deviations away.
    """
    eps, delta, draws, trials = 0.2, 1e-4, 63, 2_000_000
    assert iterand_width("A4", eps, delta, draws, form="printed") == 2
    rng = np.random.Generator(np.random.Philox(0))
    top = 2 * rng.random((2, 2, trials)) ** (1 / draws) - 1  # u and v of two neurons
    low = -1 + (top + 1) * (1 - rng.random(top.shape) ** (1 / (draws - 1)))
    up, down = top.prod(0) >= 1 - eps, (low.prod(0) >= 1 - eps) & (low < 0).all(0)
    works = (up[0] & down[1]) | (up[1] & down[0])
    assert (~works).sum() > 400
    width = iterand_width("A4", eps, delta, draws, form="corrected")
    assert 1 - iterand_event_probability(1.0, eps, width, draws) <= delta


def test_a1_the_last_sentence_of_theorem_a1_is_false_for_tiny_delta():
    """F = (1): one neuron must have u >= 1 - eps, the other u <= -(1 - eps), whatever the mask.

    Where all draws of u of both are below 1 - eps there is no mask: (1 - eps/2)^(2R).
    """
    eps, delta = 0.1, 1e-40
    printed, corrected = (
        iterand_resampling_threshold(eps, delta, form=form) for form in ("printed", "corrected")
    )
    assert (1 - eps / 2) ** (2 * printed) > 1e5 * delta
    missed = (1 - eps / 2 / 4) ** corrected  # of u or of v, in one of two halves
    assert 4 * missed <= delta * (1 + 1e-9)


def test_a2_one_half_errs_by_eps_and_not_by_half_of_it():
    eps = 0.1
    u = v = 1 - eps / 2
    error = 1 - v * u  # of w x - v relu(u x) at x = 1, w = 1
    assert eps / 2 < error <= eps


def test_a3_the_printed_logarithm_gives_a_negative_width():
    delta, eps = 0.05, 0.25
    assert 16 / eps**2 * math.log(delta / 2) < 0
    assert 2 * math.ceil(16 / eps**2 * math.log(2 / delta)) == iterand_width(
        "A4", eps, delta, 1, form="printed"
    )


def test_a4_a_unit_row_makes_three_of_nine_ones():
    row, corner = np.full((1, 9), 1 / 3), np.ones(9)
    assert np.linalg.norm(row) == pytest.approx(1)
    assert abs(row @ corner)[0] == pytest.approx(3)  # the proof needs <= 1
    assert abs(row @ (corner / 3))[0] <= 1 + 1e-12  # as in the unit ball
    ball, cube = (
        iterand_width("A1", 0.1, 0.05, 1, 9, 1, 2, domain=domain, input_dim=9)
        for domain in ("ball", "cube")
    )
    assert cube > ball


def test_d1_example_2_loses_the_depth():
    depth, n = 10, 100
    accuracy = orseau_weight_accuracy(1.0, depth, n, norm_product=1.0, form="printed")
    assert accuracy == pytest.approx(1 / (math.e * depth * n**1.5))
    assert accuracy != pytest.approx(1 / (math.e * math.log(n) ** 1.5))


def test_d2_a_sequence_stays_below_the_bound_without_e():
    for a, b in itertools.product(itertools.product((0.5, 1.0, 3.0), repeat=3), repeat=2):
        x = 0.0
        for factor, added in zip(a, b):
            x = factor * x + added
        assert x <= layer_recursion_bound(a, b) * (1 + 1e-12)
        assert layer_recursion_bound(a, b, "printed") > 2.7 * x
    tight = orseau_weight_accuracy(0.1, 3, 8, norm_product=2.0)
    printed = orseau_weight_accuracy(0.1, 3, 8, norm_product=2.0, form="printed")
    assert tight == pytest.approx(math.e * printed)


def test_d3_a_shrinking_sequence_is_above_the_printed_bound():
    printed, corrected = (
        positive_sequence_bound([0.5], [1.0], 0.0, 1, form) for form in ("printed", "corrected")
    )
    first = 0.5 * 0 + 1
    assert printed == pytest.approx(-2 * math.e)
    assert printed < first <= corrected


def test_d4_the_inverted_k_leaves_too_large_a_rest():
    bits = bits_of_example_5()
    inverted = math.ceil(math.log(1 / (2 * bits["eps_w"])) / math.log(1.5))
    assert (inverted, bits["k"]) == (35, 39)
    assert (2 / 3) ** inverted > bits["eps_w"] / 2 >= (2 / 3) ** bits["k"]


def test_d5_the_union_over_pairs_is_paid_by_the_corrected_width_only():
    kprime = bits_of_example_5()["kprime"]
    printed, corrected = (
        orseau_layer_width(**EXAMPLE_5, kprime=kprime, theorem=theorem)
        for theorem in ("3", "3-corrected")
    )
    events, pairs = 2 * kprime * EXAMPLE_5["n_star"], 100 * 100
    # Lemma 29 turned around: the probability of failing that a width pays for
    failing = [events * math.exp(pairs - width / (16 * kprime)) for width in (printed, corrected)]
    assert failing[0] > 1
    assert failing[1] <= EXAMPLE_5["delta"]


def test_d6_a_pruned_matrix_may_have_a_larger_norm():
    matrix = np.array([[1.0, 1.0], [1.0, -1.0]])
    eps_w = 0.01
    pruned = matrix + np.array([[0, 0], [0, eps_w]])  # nearer to 0, as the construction makes it
    before, after = (np.linalg.norm(w, 2) for w in (matrix, pruned))
    assert before < after <= before + 2 * eps_w


def test_d6_norms_of_the_target_suffice_with_their_margin():
    depth, n, eps = 10, 100, 0.01
    eps_w = orseau_weight_accuracy(eps, depth, n, norm_product=1.0, form="printed")
    wider = (1 + n * eps_w) ** depth  # every |W_i| = 1, |pruned W_i| <= 1 + n eps_w
    assert 1 < wider <= math.exp(eps / (math.e * math.sqrt(n)))
    found = orseau_weight_accuracy(eps, depth, n, norm_product=wider, form="printed")
    assert found == pytest.approx(eps_w, rel=1e-3)


def test_d7_the_recycled_pairs_count_from_0():
    n = 5
    assert {(d + j) % n for d in range(n) for j in range(n)} == set(range(n))
    assert n not in {(d + j) % n for d in range(1, n + 1) for j in range(1, n + 1)}


def test_d7_recycling_samples_more_than_its_text_says_and_less_than_the_theorem():
    bits = bits_of_example_5()
    k, kprime, n = bits["k"], bits["kprime"], 100
    m = math.ceil(8 * kprime * math.log(2 * kprime * EXAMPLE_5["n_star"] / EXAMPLE_5["delta"]))
    printed, true = (m + 2 * (k - 1) * n) / n, (m + 2 * k * (n - 1)) / n
    assert (round(printed, 2), round(true, 2)) == (140.31, 141.53)
    width = orseau_layer_width(**EXAMPLE_5, kprime=kprime, theorem="30")
    assert true * n * n <= width


def test_d8_only_the_corrected_density_has_mass_one():
    gamma = 2 / 3
    edges = gamma ** np.arange(1.0, 60.0)
    masses = {}
    for form in ("printed", "corrected"):
        points = np.geomspace(edges[-1], gamma, 200_001)
        values = np.array([anytime_density(v, gamma, form) for v in np.minimum(points, gamma)])
        y, x = torch.from_numpy(values * points), torch.from_numpy(np.log(points))
        masses[form] = float(torch.trapezoid(y, x))
    assert masses["corrected"] == pytest.approx(1 - 1 / 59, rel=1e-6)  # sum of 1/(i(i+1))
    assert masses["printed"] == pytest.approx(math.log(59), rel=1e-6)  # grows without end


def test_d8_the_middle_half_holds_three_quarters_of_the_products():
    alpha, beta = 0.01, 2.0
    middle = math.sqrt(alpha * beta)
    low, high = product_weight_density([alpha * middle, beta * middle], alpha, beta)["cdf"]
    assert high - low == pytest.approx(3 / 4)


@pytest.mark.parametrize("c", [0.6, 0.9, 1.0])
def test_d8_categories_of_more_than_half_the_mass_are_filled_too(c):
    n, delta = 4, 0.1
    draws = fill_categories_samples(c, n, 1, delta)
    short = sum(math.comb(draws, j) * c**j * (1 - c) ** (draws - j) for j in range(n))
    assert short <= delta


def test_the_worked_examples_of_logarithmic_pruning_come_out():
    kprime = bits_of_example_5()["kprime"]
    steep = orseau_num_bits(
        1.0, orseau_weight_accuracy(0.01, 10, 100, norm_product=100.0**10, form="printed")
    )["kprime"]
    found = [
        round(orseau_layer_width(**EXAMPLE_5, kprime=value, theorem=theorem) / 100**2, 2)
        for theorem, value in itertools.product(("3", "30"), (kprime, steep))
    ]
    assert found == pytest.approx([628.69, 2448.31, 142.81, 572.68], abs=0.0051)
    architecture = orseau_architecture([100] * 11)
    assert architecture["M_thm3"][0] / 100**2 == pytest.approx(628.69, abs=0.005)
