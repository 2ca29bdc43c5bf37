from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import SpecError
from prunekit.theory import VacuousBound, bounds
from prunekit.theory.bounds import (
    anytime_density,
    golden_ratio_decompose,
    golden_ratio_fill_probability,
    golden_ratio_samples,
    hyperbolic_icdf,
    iterand_event_probability,
    iterand_min_samples,
    iterand_resampling_threshold,
    iterand_width,
    malach_layer_width,
    orseau_architecture,
    orseau_layer_width,
    orseau_num_bits,
    orseau_weight_accuracy,
    pensia_order,
    product_weight_density,
    unknown_w_max_factor,
)

REFUSED = [
    ("malach_layer_width", (100, 10, 0.0, 0.01), "eps must be a finite number > 0: 0.0"),
    ("malach_layer_width", (100, 10, 0.1, 1.0), "delta must lie in (0, 1): 1.0"),
    ("malach_layer_width", (100.0, 10, 0.1, 0.1), "n_max must be an int >= 1: 100.0"),
    ("malach_layer_width", (100, True, 0.1, 0.1), "depth must be an int >= 1: True"),
    ("malach_layer_width", (100, 10, math.nan, 0.1), "eps must be a finite number > 0: nan"),
    ("pensia_order", (10, 2, 0.1, 0.0), "constant must be a finite number > 0"),
    ("orseau_weight_accuracy", (0.1, 2, 3), "give norms or norm_product, one of the two"),
    ("orseau_weight_accuracy", (0.1, 2, 3, 1.0, [1.0]), "must have one length: norms 1"),
    ("orseau_weight_accuracy", (0.1, 1, 3, 1.0, [-1.0]), "norms[0] must be a finite number >= 0"),
    ("orseau_num_bits", (1.0, 3.0), "eps_w must be < 3 w_max"),
    ("orseau_num_bits", (0.0, 0.1), "w_max must be a finite number > 0"),
    ("orseau_layer_width", (1, 1, 1, 1, 0.1, 9.0, "31"), "theorem must be one of 3, 3-corrected"),
    ("orseau_architecture", ([5],), "widths must name at least two layers' sizes: [5]"),
    ("orseau_architecture", ([5, 0],), "widths[1] must be an int >= 1: 0"),
    ("golden_ratio_samples", (2.0, 0.1), "eps must lie in (0, w_max]"),
    ("golden_ratio_samples", (0.1, 0.1, 0.6), "gamma must lie in [0.618034, 1)"),
    ("golden_ratio_fill_probability", (5, 4.0, 3), "kp must be a finite number >= 5"),
    ("golden_ratio_decompose", (2.0, [0.5]), "w must lie in [0, 1]: 2.0"),
    ("golden_ratio_decompose", (0.5, [0.1]), "v[0] must lie in (0.444444, 0.666667], interval 1"),
    ("fill_categories_samples", (1.5, 1, 1, 0.1), "c must lie in [0, 1]: 1.5"),
    ("positive_sequence_bound", ([0.5, 0.5], [1, 1], 0.0, 1), "tau must be at least the number"),
    ("layer_recursion_bound", ([], []), "a must have 1 axes and at least one entry"),
    ("layer_recursion_bound", ([math.nan], [1.0]), "a must hold finite numbers"),
    ("hyperbolic_icdf", (0.5, 1.0, 1.0), "alpha must be < beta"),
    ("product_weight_density", (-1.0, 0.1, 1.0), "min(w) must be a finite number > 0"),
    ("anytime_density", (0.9,), "v must lie in [0, 0.666667]"),
    ("iterand_width", ("A2", 0.1, 0.1, 1), "lemma must be one of A1, A3, A4, A5, A6: 'A2'"),
    ("iterand_width", ("A3", 0.1, 0.1, 2), "R must be 1 in Lemma A3"),
    ("iterand_width", ("A4", 0.1, 0.1, 1, 1, 1, 1, "tight"), "form must be one of printed"),
    ("iterand_width", ("A1", 0.1, 0.1, 1, 1, 1, 2, "printed", "cube"), "needs input_dim"),
    ("iterand_width", ("A1", 2, 0.1, 1, 1, 1, 2, "printed", "cube", 3), "eps must lie in (0, 1]"),
    ("iterand_width", ("A6", 0.1, 0.1, 1, 1, 1, 2, "printed", "cube", 3), "only A1 speaks"),
    ("iterand_event_probability", (1.5, 0.1, 2, 1), "w must lie in [-1, 1]: 1.5"),
    ("iterand_event_probability", (1.0, 0.1, 3, 1), "d must be even: 3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED)
def test_an_argument_outside_its_domain_is_refused_by_name_value_and_domain(
    name, arguments, message
):
    with pytest.raises(SpecError) as caught:
        getattr(bounds, name)(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_first_theorem_asks_for_1_076e15_neurons_a_weight():
    found = malach_layer_width(100, 10, 0.01, 0.01)
    assert found["per_weight"] == pytest.approx(1.076e15, rel=1e-3)
    assert found["log10_layer"] == pytest.approx(math.log10(found["layer"]))


def test_widths_that_no_float_holds_are_exact_ints_with_a_logarithm():
    found = malach_layer_width(100, 10, 1e-160, 0.01)
    assert found["log10_per_weight"] == pytest.approx(15.0318 + 316, abs=1e-3)
    assert iterand_width("A4", 1e-170, 0.1, 1) > 10**340


def test_pensias_order_is_vacuous_where_its_logarithm_is_negative():
    assert pensia_order(100, 10, 0.01, 2.0) == pytest.approx(200 * math.log(1e5))
    with pytest.warns(VacuousBound, match="the logarithm is <= 0"):
        pensia_order(2, 1, 5.0, 1.0)


def test_norms_and_their_product_are_two_ways_to_say_the_same():
    by_norms = orseau_weight_accuracy(0.1, 3, 8, 2.0, [0.5, 3.0, 1.5])
    assert by_norms == orseau_weight_accuracy(0.1, 3, 8, 2.0, norm_product=4.5)


@given(st.floats(1e-9, 1.0), st.floats(1.0, 100.0))
def test_k_is_never_above_k_prime(eps_w, w_max):
    bits = orseau_num_bits(w_max, eps_w)
    assert bits["k"] <= bits["kprime"] + 1e-9
    assert (2 / 3) ** bits["k"] * w_max <= eps_w / 2 * (1 + 1e-9)


def test_min_is_the_smaller_of_both_theorems():
    for sides in ((4, 6), (300, 784)):
        found = {t: orseau_layer_width(*sides, 3, 10**5, 0.01, 40.0, t) for t in ("3", "30", "min")}
        assert found["min"] == min(found["3"], found["30"])


def test_products_of_the_sampling_law_cover_what_they_must():
    found = orseau_architecture([4, 6, 3])
    assert found["alpha"] * found["beta"] == pytest.approx(
        math.sqrt(found["alpha_prime"] * found["beta_prime"])
    )
    assert found["beta"] > 1  # more than w_max


@pytest.mark.parametrize(("k", "kp", "m"), [(5, 6.0, 20), (3, 3.0, 2), (12, 12.5, 60), (1, 2.0, 0)])
def test_the_fill_probability_is_the_alternating_sum(k, kp, m):
    exact = sum((-1) ** j * math.comb(k, j) * (1 - j / Fraction(kp)) ** m for j in range(k + 1))
    assert golden_ratio_fill_probability(k, kp, m) == pytest.approx(float(exact), abs=1e-13)


def test_as_many_draws_as_corollary_10_says_fill_all_intervals():
    for eps, delta in itertools.product((0.1, 1e-3, 1e-6), (0.3, 0.01)):
        found = golden_ratio_samples(eps, delta)
        filled = golden_ratio_fill_probability(found["k"], found["kprime"], found["m"])
        assert filled >= 1 - delta


@given(st.floats(0, 1), st.floats(0.6181, 0.95), st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_weight_is_built_from_below_to_within_gamma_to_the_k(w, gamma, places):
    v = [gamma**i * (gamma + (1 - gamma) * max(place, 1e-9)) for i, place in enumerate(places, 1)]
    found = golden_ratio_decompose(w, v, gamma)
    assert -1e-12 <= w - found["approx"] <= gamma ** len(v) + 1e-12


def test_below_one_over_phi_the_subtraction_leaves_a_gap():
    """With every v_i at its interval's end; k = 8, the worst of 10,001 weights."""

    def worst(gamma: float) -> float:
        rest = np.linspace(0, 1, 10_001)
        for i in range(1, 9):
            rest = np.where(rest >= gamma**i, rest - gamma ** (i + 1) * (1 + 1e-9), rest)
        return float(rest.max() / gamma**8)

    assert worst(0.55) > 30
    assert worst(0.608) > 3
    assert worst(0.62) <= 1


def test_scalars_and_lists_are_given_back_as_they_came():
    assert hyperbolic_icdf(0.5, 0.01, 1.0) == pytest.approx(0.1)
    assert product_weight_density(0.1, 0.1, 1.0)["cdf"] == pytest.approx(0.5)


def test_the_product_law_is_that_of_sampled_products():
    """20,000 products: the largest deviation is below 0.0163 with probability 99.99 %."""
    rng = np.random.Generator(np.random.Philox(1))
    pair = np.asarray(hyperbolic_icdf(rng.random(40_000).tolist(), 0.02, 3.0)).reshape(2, -1)
    values = np.sort(pair.prod(0))
    cdf = np.asarray(product_weight_density(values.tolist(), 0.02, 3.0)["cdf"])
    assert np.abs(cdf - (np.arange(20_000) + 0.5) / 20_000).max() < 0.0163


def test_an_interval_of_the_anytime_law_has_mass_one_over_i_times_i_plus_one():
    gamma, i = 0.7, 3
    points = np.geomspace(gamma ** (i + 1), gamma**i, 20_001)
    values = torch.tensor([anytime_density(v, gamma) for v in points], dtype=torch.float64)
    mass = float(torch.trapezoid(values, torch.from_numpy(points)))
    assert mass == pytest.approx(1 / (i * (i + 1)), rel=1e-6)


@given(st.floats(0.5, 1e6))
def test_not_knowing_w_max_costs_at_most_four_times_it(w_max):
    assert unknown_w_max_factor(w_max) <= 4 * w_max


def test_enough_samples_of_u_miss_with_probability_delta_at_most():
    eps, delta = 0.1, 0.05
    draws = iterand_min_samples(eps, delta)
    assert (1 - eps / 2) ** draws <= delta < (1 - eps / 2) ** (draws - 3)


@pytest.mark.filterwarnings("ignore:eps 5.0 is above 1")
@pytest.mark.parametrize("draws", [1, 3, 50])
@pytest.mark.parametrize("eps", [0.05, 0.5, 5.0])
def test_the_corrected_width_is_enough_for_every_weight(draws, eps):
    width = iterand_width("A4", eps, 0.05, draws)
    for w in (-1.0, -0.3, 0.0, 1.0):
        assert iterand_event_probability(w, eps, width, draws) >= 1 - 0.05


def test_at_the_corrected_threshold_width_2_d_in_is_enough():
    arguments = {"eps": 0.1, "delta": 0.05, "d_in": 4, "d_out": 6, "depth": 2}
    draws = math.ceil(iterand_resampling_threshold(**arguments))
    assert iterand_width("A1", R=draws, **arguments) == 2 * 4
    assert iterand_width("A1", R=draws - 1, **arguments) > 2 * 4
