"""Lemmas 9, 18 and 29 and Corollary 27 of paper D beside fractions, a thousand times each."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from mpmath import exp, mpf

from prunekit import theory
from prunekit.errors import SpecError
from tests.theory.test_recomputed_bounds import FORMS, outcome, same


def sequences(rng: random.Random) -> tuple[list[float], list[float], float, float]:
    length = rng.randint(1, 6)
    a = [rng.choice([rng.uniform(0, 3), 1.0, 1.5, 2.0]) for _ in range(length)]
    b = [rng.choice([rng.uniform(0, 3), 0.0, 1.0]) for _ in range(length)]
    return a, b, rng.uniform(0, 2), rng.choice([rng.uniform(0.1, 7), 1, 2, 4, length])


def lemma_18(a, b, x0, tau, form):
    """e (x0 + c) prod of a_t >= 1 + 1/tau, or None where tau does not suit a."""
    large = [Fraction(x) for x in a if Fraction(tau) * (Fraction(x) - 1) >= 1]
    if len(a) - len(large) > tau:
        return None
    rates = [(Fraction(y), Fraction(x) - 1) for x, y in zip(a, b)]
    if form == "corrected":
        c = max(y / max(1 / Fraction(tau), rate) for y, rate in rates)
    else:
        c = Fraction(tau) * max(map(Fraction, b))
        c = c if any(rate == 0 for _, rate in rates) else min(c, max(y / rate for y, rate in rates))
    total = (Fraction(x0) + c) * math.prod(large, start=Fraction(1))
    return exp(1) * mpf(total.numerator) / mpf(total.denominator)


@pytest.mark.parametrize("form", FORMS)
def test_lemma_18_is_what_fractions_say_and_corrected_is_never_passed(form):
    rng = random.Random(form)
    with mpmath.workdps(50):
        for _ in range(1000):
            a, b, x0, tau = sequences(rng)
            expected = lemma_18(a, b, x0, tau, form)
            given = {"a": a, "b": b, "x0": x0, "tau": tau, "form": form}
            found = outcome("positive_sequence_bound", given)
            if expected is None:
                assert isinstance(found, str)
                continue
            assert same(found, expected), given
            x = x0
            for a_t, b_t in zip(a, b):
                x = a_t * x + b_t
            assert form == "printed" or x <= found * (1 + 1e-12)


def test_lemma_18_as_printed_takes_the_smaller_of_both():
    bound = theory.positive_sequence_bound
    assert bound([1.01], [1], 0, 1, "printed") == pytest.approx(math.e)
    assert bound([1.5, 1.2], [1, 1], 0, 2, "printed") == pytest.approx(8.1548454854)
    assert bound([1], [1], 0, 1, "printed") == pytest.approx(math.e)


def test_corollary_27_is_what_fractions_say():
    rng = random.Random(27)
    with mpmath.workdps(50):
        for _ in range(1000):
            a, b, _, _ = sequences(rng)
            grown = math.prod((max(Fraction(1), Fraction(x)) for x in a), start=Fraction(1))
            exactly = len(a) * max(map(Fraction, b)) * grown
            tight = mpf(exactly.numerator) / mpf(exactly.denominator)
            assert same(theory.layer_recursion_bound(a, b), tight)
            assert same(
                theory.layer_recursion_bound(np.array(a), tuple(b), "printed"), exp(1) * tight
            )


def test_a_bound_past_every_float_is_refused_with_its_logarithm():
    with pytest.raises(SpecError, match=r"layer_recursion_bound is more .* log10 is 400\.30103"):
        theory.layer_recursion_bound([1e200, 1e200], [1, 1])
    with pytest.raises(SpecError, match=r"positive_sequence_bound is more .* its log10 is 4"):
        theory.positive_sequence_bound([1e200, 1e200], [1e200, 1], 1, 2)
    with pytest.raises(SpecError, match=r"fill_probability is less .* log10 is -432\.61"):
        theory.golden_ratio_fill_probability(1000, 1000.5, 1000)


def test_the_fill_probability_is_the_alternating_sum_of_fractions():
    rng = random.Random(9)
    for number in range(1050):
        k = rng.randint(1, 9 if number < 1000 else 40)
        kp = rng.choice([k, k + rng.random(), 3 * k])
        m = rng.choice([rng.randint(0, 40), k, k - 1])
        exactly = sum(
            (-1) ** j * math.comb(k, j) * (1 - j / Fraction(kp)) ** m for j in range(k + 1)
        )
        found = theory.golden_ratio_fill_probability(k, kp, m)
        assert abs(found - exactly) <= 1e-14 * exactly, (k, kp, m)


def test_the_subtraction_keeps_what_fractions_keep():
    rng = random.Random(5)
    for _ in range(1050):
        gamma = rng.choice([0.75, 2 / 3, 0.6180339887498948, rng.uniform(0.62, 0.99)])
        w_max = rng.choice([1.0, 3.0, rng.uniform(0.1, 9)])
        places = [rng.choice([0.0, rng.random() * 0.9]) for _ in range(rng.randint(1, 12))]
        v = [gamma**i * w_max * (1 - (1 - gamma) * place) for i, place in enumerate(places, 1)]
        w = min(w_max, rng.choice([0.75 ** rng.randint(0, 9), rng.random(), 0.0]) * w_max)
        rest, mask = Fraction(w), []
        for i, sample in enumerate(v, 1):
            mask.append(int(rest >= Fraction(gamma) ** i * Fraction(w_max)))
            rest -= mask[-1] * Fraction(sample)
        found = theory.golden_ratio_decompose(w, v, gamma, w_max)
        assert found == {"mask": mask, "approx": float(Fraction(w) - rest)}


def test_a_power_of_gamma_needs_as_many_intervals_as_its_exponent():
    for j in range(1, 34):
        assert theory.golden_ratio_samples(0.75**j, 0.1, 0.75)["k"] == j
        below = math.nextafter(0.75**j, 0)
        assert theory.golden_ratio_samples(below, 0.1, 0.75)["k"] == j + 1


def test_one_over_phi_is_taken_however_it_is_rounded_and_nothing_below():
    for gamma in (1 / ((1 + math.sqrt(5)) / 2), (math.sqrt(5) - 1) / 2):
        assert theory.golden_ratio_samples(0.01, 0.1, gamma)["k"] == 10
    for gamma in (0.618, 0.6180339, 1.0):
        with pytest.raises(SpecError, match="gamma must lie in"):
            theory.golden_ratio_samples(0.01, 0.1, gamma)
