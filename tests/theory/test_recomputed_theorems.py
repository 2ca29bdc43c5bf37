"""Theorems 1 to 3 of paper B once more in 50 digits, at 1,000 random inputs and at edges."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from mpmath import exp, ln, log10, mpf, pi, sqrt

from prunekit import theory
from tests.theory.recomputing import RANDOM, checked, said, same, spread


def alpha_limit(d_k: int, d_km1: int, sign: int) -> mpf:
    return min(1 - (ln(d + 1) + sign * ln(ln(d))) / (ln(d_k) + ln(d_km1)) for d in (d_k, d_km1))


def test_limits_of_alpha():
    rng = random.Random(2)
    sizes = [(int(spread(rng, 3, 1e7)), int(spread(rng, 3, 1e7))) for _ in range(RANDOM)]
    for d_k, d_km1 in [*sizes, (3, 3), (3, 10**6), (np.int32(2**31 - 1), 3), (10**300, 10**300)]:
        for form, sign in (("printed", -1), ("corrected", 1)):
            wanted = alpha_limit(int(d_k), int(d_km1), sign)
            found, vacuous = said(theory.qk_alpha_limit, d_k, d_km1, form)
            assert abs(found - wanted) < 1e-13
            assert vacuous == (wanted <= 0)
        conv = 2 - (ln(int(d_k) + 1) + ln(ln(int(d_k)))) / ln(int(d_k))
        same(theory.qk_alpha_limit_conv(d_k), conv)


def theorem_1(l, L, c0, rate, K, eps, delta, alpha, d, C, form):  # noqa: E741
    """Spec, section 1.3, and facts E4 for the corrected c2."""
    L, c0, rate, K, eps, delta, a, C = map(mpf, (L, c0, rate, K, eps, delta, alpha, C))
    c2 = C * K * (2 * sqrt(2) + mpf(24) ** 0.25) if form == "printed" else 2 * K * sqrt(pi / 2)
    C1, C2, C3 = 1 / c0, (mpf(2) ** (l - 2) - 1) * L * c0 ** (l - 1), (l**2 - 2) * c2
    C4, C5 = ln(l**2 - 2) / (4 * rate), 1 / (4 * rate)
    least = max(*((x ** (1 / a)) for x in (C1, C2 / eps, C3 / delta)), C4 + C5 * ln(1 / delta))
    gap, rare = mpf(d) ** -a, exp(-4 * rate * d)
    factors = 1 - 2 * rare, 1 - (l - 2) * c2 * gap - (l + 1) * (l - 2) * rare
    p0 = factors[0] * factors[1]
    output = L * c0**l
    values = {"c2": c2, "C1": C1, "C2": C2, "C3": C3, "C4": C4, "C5": C5, "error_bound": C2 * gap,
              "log10_d_min": log10(least), "p0": -abs(p0) if min(factors) < 0 else p0}  # fmt: skip
    return values, min(factors) <= 0 or C2 * gap >= output


def first_inputs(rng: random.Random) -> tuple[Any, ...]:
    return (rng.randint(3, 60), spread(rng, 0.1, 10), spread(rng, 0.05, 5), spread(rng, 1e-4, 1),
            spread(rng, 0.01, 10), spread(rng, 1e-3, 1), rng.uniform(0.001, 0.9),
            rng.uniform(0.02, 0.95), int(spread(rng, 1, 1e8)), rng.uniform(0.5, 3))  # fmt: skip


FIRST = (4, 1.0, 1.2, 0.005, 1.0, 0.1, 0.05, 0.5, 16, 1.0)
EDGES_1 = [
    {}, {0: 1000, 2: 0.4}, {0: 1000, 2: 0.5}, {0: 5000}, {0: 20000, 2: 0.4}, {7: 0.001}, {7: 1e-9},
    {7: 1 - 2**-53}, {8: 1}, {8: 2}, {8: 10**300}, {6: 5e-324}, {6: 1 - 2**-53}, {3: 1e-300},
    {3: 1e300}, {2: 1e-200}, {2: 1e100}, {1: 1e-300}, {1: 1e300}, {4: 1e-200}, {4: 1e200},
    {5: 1e-300}, {5: 1e300}, {2: 4.0, 8: 4}, {2: 0.5, 8: 100}, {0: 3, 8: 1000, 2: 2.0},
]  # fmt: skip


def test_theorem_1_at_random_and_at_its_edges():
    rng = random.Random(3)
    edges = [tuple(edge.get(i, FIRST[i]) for i in range(10)) for edge in EDGES_1]
    for given in [*(first_inputs(rng) for _ in range(RANDOM)), *edges]:
        form = rng.choice(["printed", "corrected"])
        wanted, vacuous = theorem_1(*given, form)
        wanted = {key: value for key, value in wanted.items() if key != "p0" or abs(value) > 1e-9}
        checked(wanted, vacuous, theory.qk_theorem1, *given, form, relative=1e-11)


def test_an_error_over_a_thousand_layers_is_small_and_not_0():
    """facts: 7.69e-98."""
    found = theory.qk_theorem1(1000, 1, 0.4, 0.005, 1, 0.1, 0.05, 0.5)
    assert found["C2"] == pytest.approx(7.69e-98, rel=1e-3)


@pytest.mark.parametrize(("c0", "times"), [(4.0, 0.375), (1.0, 1.5)])
def test_theorem_1_warns_where_its_error_is_that_of_zeros(c0, times):
    """Error over output at l = 4, gap = 1/2: (2^2 - 1)/2/c0."""
    given = (4, 1, c0, 1e3, 1e-9, 0.1, 0.05, 0.5, 4)
    found, vacuous = said(theory.qk_theorem1, *given)
    assert found["error_bound"] / c0**4 == pytest.approx(times)
    assert vacuous == (times >= 1)


@pytest.mark.parametrize(
    ("l", "c0", "eps", "delta", "alpha", "least"),
    [(3, 1.5, 0.01, 0.01, 0.5, 3078760.800517996), (3, 2.0, 0.1, 0.05, 0.9, 673.007596817315),
     (4, 1.5, 0.1, 0.05, 0.5, 492601.7280828794)],
)  # fmt: skip
def test_theorem_1_with_proved_constants_asks_for_the_width_of_the_facts(
    l, c0, eps, delta, alpha, least  # noqa: E741
):  # fmt: skip
    rate = theory.uniform_norm_tail(100, 100, c0)["delta0"]
    found = theory.qk_theorem1(l, 1.0, c0, rate, 1.0, eps, delta, alpha, form="corrected")
    assert found["d_min"] == pytest.approx(least, rel=1e-10)


def theorem_2(l, L, N, deltas, K1, K2, eps, delta, alpha, d, C):  # noqa: E741
    L, K1, K2, eps, delta, a, C = map(mpf, (L, K1, K2, eps, delta, alpha, C))
    N, deltas = list(map(mpf, N)), list(map(mpf, deltas))
    c2, share = C * (2 * sqrt(3 * K1) + K2 ** mpf(0.25)), mpf(2) ** (l - 2) - 1
    product = mpf(1)
    for norm in N:
        product *= norm
    used = sum((l - i) * deltas[i - 1] for i in range(1, l))
    delta0, C1, C2 = delta - deltas[-1] - used, max(1 / n for n in N[1:-1]), share * L * product
    C3, C4 = mpf(3 * (l - 2)), 3 * c2 * (l - 2)
    least = max(C1 ** (4 / a), (C2 / eps) ** (4 / a), (C3 / delta0) ** 3, (C4 / delta0) ** (4 / a))
    gap, mask = mpf(d) ** (-a / 4), (1 - mpf(d) ** (-mpf(1) / 3)) ** (2 * (l - 2))
    weights = (1 - deltas[-1]) * (1 - (l - 2) * c2 * gap - used)
    limit = alpha_limit(d, d, 1) if d > 2 else 0
    values = {"c2": c2, "C1": C1, "C2": C2, "C3": C3, "C4": C4, "delta0": delta0, "p_mask": mask,
              "log10_d_min": log10(least), "error_bound": C2 * gap}  # fmt: skip
    if abs(weights) > 1e-9:
        values |= {"p_weights": weights, "p0": mask * weights}
    return values, mask * weights <= 0 or share * gap >= 1 or a > limit


def test_theorem_2_at_random_and_at_its_edges():
    rng = random.Random(4)
    for index in range(RANDOM + 50):
        l, edge = rng.randint(3, 30), index >= RANDOM  # noqa: E741
        given = [l, spread(rng, 0.1, 10), [1 + rng.random() * 3 for _ in range(l)],
                 [rng.random() * 1e-4 for _ in range(l)], spread(rng, 0.01, 3),
                 spread(rng, 0.01, 3), spread(rng, 1e-3, 1), rng.uniform(0.1, 0.9),
                 rng.uniform(0.05, 0.9), int(spread(rng, 1, 1e9)),
                 rng.uniform(0.01, 3)]  # fmt: skip
        if edge:
            given[rng.choice([4, 5, 6, 10])] = rng.choice([1e-280, 1e280])
            given[9] = rng.choice([1, 2, 3, 10**300])
        wanted, vacuous = theorem_2(*given)
        checked(wanted, vacuous, theory.qk_theorem2, *given, relative=1e-11)


def theorem_3(l, L, d, d0, dl, p, p0, q, alpha, b1, b2, C1, C2, C, t):  # noqa: E741
    L, alpha, b1, b2, C1, C2, C, t = map(mpf, (L, alpha, b1, b2, C1, C2, C, t))
    C3, C4 = C * (2 * sqrt(C1) + C2 ** mpf(0.25)), C * (2 * sqrt(3 * C1) + C2 ** mpf(0.25))
    a, b, ratio = mpf(p) ** -b1, mpf(d) ** -b2, mpf(dl) / d
    norm = C * (sqrt(C1) * (1 + sqrt(ratio) / p) + (C2 * ratio) ** mpf(0.25) / sqrt(p))
    inner = (1 - (l - 2) * C4 * q**2 / p * mpf(d) ** (b2 - alpha / 4)
             - (mpf(l) ** 2 - l - 2) / 2 * C3 * q**2 / mpf(p) ** (1 - b1))  # fmt: skip
    pbar, mask = inner - C3 / mpf(p) ** (1 - b1), (1 - mpf(d) ** (-mpf(1) / 3)) ** (2 * (l - 2))
    error = a * L ** (l - 1) * p0 * (a * (a + b) ** (l - 2) - a ** (l - 1))
    values = {"C3": C3, "C4": C4, "p_mask": mask, "E_Wl_corrected": norm, "pbar": pbar,
              "prob": mask * pbar, "error_bound": error * sqrt(d),
              "error_bound_d0": error * sqrt(d0),
              "pbar_corrected": inner - norm / t, "prob_corrected": mask * (inner - norm / t),
              "error_bound_corrected": error / a * t * sqrt(d0)}  # fmt: skip
    zeros = a**l * L ** (l - 1) * p0
    return values, mask * pbar <= 0 or inner <= norm / t or error >= zeros


def test_theorem_3_at_random_and_at_its_edges():
    rng = random.Random(5)
    for index in range(RANDOM + 50):
        d, q = int(spread(rng, 3, 1e6)), rng.randint(1, 7)
        alpha = rng.uniform(0.05, float(2 - (ln(d + 1) + ln(ln(d))) / ln(d)))
        given = [rng.randint(3, 20), spread(rng, 0.3, 2), d, rng.randint(1, 5), rng.randint(1, 100),
                 q + int(spread(rng, 1, 1e6)), rng.randint(1, 300), q, alpha,
                 spread(rng, 0.01, 0.5),
                 rng.uniform(0.01, 0.9) * alpha / 4, spread(rng, 0.01, 3), spread(rng, 0.01, 9),
                 rng.uniform(0.001, 1), spread(rng, 0.5, 5)]  # fmt: skip
        if index >= RANDOM:
            given[1] = rng.choice([1e-30, 1e30, 1e-100, 1e100])
            given[10] = alpha / 4 * rng.choice([1e-9, 1 - 1e-9])
        wanted, vacuous = theorem_3(*given)
        wanted = {key: x for key, x in wanted.items() if "p" not in key[:2] or abs(x) > 1e-9}
        checked(wanted, vacuous, theory.qk_theorem3, *given, relative=1e-11)
