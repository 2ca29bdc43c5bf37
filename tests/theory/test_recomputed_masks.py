"""What is pruned, and how far it moves the output, in integers, fractions and 50 digits (B)."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from mpmath import exp, ln, mpf, pi, sqrt

from prunekit import theory
from tests.theory.recomputing import RANDOM, checked, said, same, spread

E4 = {  # facts: pruned r of the 100 x 300 layer of 784-300-100-10, K = 1, delta = .01
    "magnitude": {50: 0.00132800396133681, 300: 0.011193233840992578, 1000: 0.05282388696459317,
                  3000: 0.15090887359087035},
    "random": {50: 0.48422599940345923, 300: 0.9028728582761347, 3000: 1.4066335372112995},
}  # fmt: skip


def decimal_alpha(rng: random.Random) -> tuple[float, Fraction]:
    """alpha as it is written, and the fraction it is."""
    text = f"{rng.uniform(0.01, 0.99):.{rng.choice([1, 2, 3])}f}"
    return float(text), Fraction(text)


def is_floor_of_power(r: int, D: int, exponent: Fraction) -> bool:
    """r <= D^(p/q) < r + 1, in integers."""
    p, q = exponent.as_integer_ratio()
    return r**q <= D**p < (r + 1) ** q


def test_a_pruned_count_is_the_floor_in_integers():
    rng = random.Random(1)
    for _ in range(RANDOM):
        d_k, d_km1 = (int(spread(rng, 1, 5000)) for _ in range(2))
        alpha, exact = decimal_alpha(rng)
        if 0 < alpha < 1:
            assert is_floor_of_power(theory.pruned_count(d_k, d_km1, alpha), d_k * d_km1, 1 - exact)


def test_a_pruned_count_of_a_perfect_power_and_its_neighbours_is_exact():
    for root, q in itertools.product((2, 3, 7, 10), (2, 4, 5, 10, 20)):
        for p in {1, q // 2 + 1, q - 1} & set(range(1, q)):
            for D in (root**q - 1, root**q, root**q + 1):
                found = theory.pruned_count(D, 1, float(1 - Fraction(p, q)))
                assert is_floor_of_power(found, D, Fraction(p, q))


@pytest.mark.parametrize(
    ("widths", "alpha", "wanted"),
    [((32, 32), 0.3, 128), ((32, 32), np.float32(0.3), 128), ((32, 32), torch.tensor(0.3), 128),
     ((np.int32(70000),) * 2, 0.5, 70000), ((torch.tensor(32),) * 2, np.float64(0.9), 2),
     ((1024, 1), 0.4, 64), ((1024, 1024), 0.8, 16), ((8, 1), Fraction(1, 3), 4),
     ((512, 2048), 0.05, 524288), ((10**150, 10**150), 0.99, 10**3), ((1, 1), 0.999, 1)],
)  # fmt: skip
def test_a_pruned_count_is_that_of_the_decimal_that_was_written(widths, alpha, wanted):
    assert theory.pruned_count(*widths, alpha) == wanted


def entropy(p: mpf, theta: mpf) -> mpf:
    return p * ln(p / theta) + (1 - p) * ln((1 - p) / (1 - theta))


def test_error_bounds_of_pruned_networks_are_those_of_the_facts():
    widths, bound = [784, 300, 100, 10], theory.pruned_error_bound
    for pruning, rows in E4.items():
        for r, wanted in rows.items():
            found, _ = said(bound, widths, [r], 0.01, 1.0, pruning)
            assert found["error_bound"] == pytest.approx(wanted, rel=1e-8)
    for pruning, counts in (("magnitude", [274, 943, 1955, 10279]), ("random", [0, 0, 1, 55])):
        found = [
            theory.prunable_counts(widths, eps, 0.01, 1.0, pruning)
            for eps in (0.01, 0.05, 0.1, 0.5)
        ]
        assert found == [[count] for count in counts]


def test_error_bounds_at_random_widths_counts_and_scales():
    rng = random.Random(12)
    for _ in range(RANDOM):
        widths = [int(spread(rng, 1, 1e4)) for _ in range(rng.randint(4, 6))]
        layers = list(itertools.pairwise(widths))
        counts = [rng.randint(0, a * b - 1) for a, b in layers[1:-1]]
        K, delta, l = spread(rng, 0.1, 3), spread(rng, 1e-6, 0.5), len(layers)  # noqa: E741
        pruning = rng.choice(["magnitude", "random"])
        found, vacuous = said(theory.pruned_error_bound, widths, counts, delta, K, pruning)
        share = mpf(delta) / (2 * l - 2)
        norms = [theory.uniform_norm_bound(*layer, float(share), K) for layer in layers]
        same(found["norm_bounds"], list(map(mpf, norms)), 1e-13)
        after = before = mpf(1)
        for norm, gap in zip(found["norm_bounds"], [0, *found["gap_bounds"], 0]):
            before, after = before * norm, after * (mpf(norm) + gap)
        same(found["error_bound"], after - before, 1e-11)
        assert vacuous == (found["error_bound"] >= found["output_bound"])
        for (n1, n2), r, gap in zip(layers[1:-1], counts, found["gap_bounds"]):
            failing = share if pruning == "random" else share / 2
            size = min(sqrt(pi / 8) * (sqrt(n1) + sqrt(n2)), sqrt(mpf(r) / 3))
            size = min(size + 2 * sqrt(ln(1 / failing) / pi), sqrt(r)) * K / sqrt(max(n1, n2))
            if r and pruning == "random":
                same(gap, size, 1e-11)
            elif r:
                D, theta = n1 * n2, mpf(gap) / size
                assert abs(D * entropy(mpf(r) / D, theta) / ln(1 / failing) - 1) < 1e-6
            else:
                assert gap == 0


def test_counts_that_may_be_pruned_are_the_most_that_may():
    rng = random.Random(13)
    for _ in range(300):
        widths = [int(spread(rng, 1, 300)) for _ in range(4)]
        eps, pruning = spread(rng, 1e-4, 3), rng.choice(["magnitude", "random"])
        (r,) = theory.prunable_counts(np.array(widths, np.int32), eps, 0.05, 1.0, pruning)
        for count in {r, min(r + 1, widths[1] * widths[2])}:
            found, _ = said(theory.pruned_error_bound, widths, [count], 0.05, 1.0, pruning)
            assert (found["error_bound"] <= eps) == (count == r)


def test_pruned_networks_keep_their_bounds_with_the_probability_that_is_said():
    """150 nets, r = 100 of 600 at delta = .5: more than 75 + 4.5 sd breaks never happen."""
    rng, broken = np.random.default_rng(14), 0
    bound = theory.pruned_error_bound([20, 30, 20, 5], [100], 0.5)
    for _ in range(150):
        W = rng.uniform(-1, 1, (20, 30)) / math.sqrt(30)
        gap = np.linalg.norm(np.where(theory.magnitude_mask(W, 100), 0, W), 2)
        broken += gap > bound["gap_bounds"][0] or np.linalg.norm(W, 2) > bound["norm_bounds"][1]
    assert broken < 75 + 4.5 * math.sqrt(150) / 2


def test_balls_in_bins_in_fractions():
    rng = random.Random(15)
    for _ in range(RANDOM):
        N, n = rng.randint(1, 120), rng.randint(2, 40)
        most = 3 * N // n
        terms = (math.comb(N, k) * (n - 1) ** (N - k) for k in range(most + 1, N + 1))
        union = mpf(n * sum(terms)) / mpf(n) ** N
        chernoff = n * exp(-mpf(N) / n * (3 * ln(3) - 2))
        wanted = {"claimed": mpf(n) ** (-mpf(1) / 3), "chernoff_correct": chernoff}
        vacuous = union >= 1 or n * ln(n) > N or chernoff >= 1
        checked({**wanted, "union_exact": union}, vacuous, theory.balls_in_bins, N, np.int16(n))


@pytest.mark.parametrize("N", [10**10, 10**13, 10**15])
def test_balls_of_any_number_have_the_tail_of_poisson(N):
    """N/n = 20: P(> 60), which the binomial is within 1e-6 of."""
    poisson = sum(exp(-20) * mpf(20) ** k / mpf(math.factorial(k)) for k in range(61, 200))
    found, _ = said(theory.balls_in_bins, N, N // 20)
    assert found["union_exact"] == pytest.approx(float(N // 20 * poisson), rel=1e-6)


def test_what_lemma_6_does_not_speak_of_is_said():
    """N < n ln n: claimed .2154, while P is .3584 to .4296."""
    with pytest.warns(theory.VacuousBound, match=r"claimed is a claim for N >= n ln n = 460.5"):
        assert theory.balls_in_bins(200, 100)["claimed"] < 0.3584


def test_chernoffs_bound_at_random_and_at_its_edges():
    rng = random.Random(16)
    edges = [(1e3, 1e-9), (1e20, 1e-9), (1e300, 1e-150), (1.0, 1e-300), (1e-300, 1e300), (5.0, 1e8)]
    pairs = [(spread(rng, 1e-3, 1e6), spread(rng, 1e-8, 1e4)) for _ in range(RANDOM)]
    for mu, d in [*pairs, *edges]:
        m, x = mpf(mu), mpf(d)
        tight = (1 + x) * ln(1 + x) - x if d > 1e-12 else x**2 / 2 - x**3 / 6
        rates = {"printed": x**2 / (1 + x), "corrected": x**2 / (2 + x), "tight": tight}
        form = rng.choice(list(rates))
        bound = exp(-m * rates[form])
        found, vacuous = said(theory.chernoff_tail, mu, d, form)
        same(found, {"bound": bound, "log10_bound": -m * rates[form] / ln(10)}, 1e-11)
        assert vacuous == (float(bound) == 1)


def test_draws_with_replacement_in_fractions():
    rng = random.Random(17)
    edges = [(0, 1), (1, 1), (2, 1), (2, 10**300), (60, 60), (61, 60), (50, 2**62)]
    pairs = [(rng.randint(0, 60), int(spread(rng, 1, 1e5))) for _ in range(RANDOM)]
    for N, cells in [*pairs, *edges]:
        ways = math.perm(cells, N) if cells < 10**17 else (cells - 1) * cells if N == 2 else None
        if ways is not None:
            same(theory.no_repeat_probability(N, cells), mpf(ways) / mpf(cells) ** N)
        same(theory.kept_fraction_with_replacement(N, cells), (1 - 1 / mpf(cells)) ** N)
    same(theory.no_repeat_probability(10**9, 10**18), exp(-mpf(0.5)), 1e-8)
    same(theory.kept_fraction_with_replacement(10**300, 10**300), exp(mpf(-1)))
