"""Every bound of papers A and D recomputed by mpmath: 1,000 draws (200 digits), 50 edges (1,200).

The formulas below are those of the papers with their letters. Integers must be equal, floats within
1e-12 of themselves; what no float holds must be refused by name.
"""

from __future__ import annotations

import math
import random
from fractions import Fraction
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from mpmath import ceil, exp, log, mpf, sqrt

from prunekit import theory
from prunekit.errors import SpecError

pytestmark = pytest.mark.filterwarnings("ignore::prunekit.theory.domain.VacuousBound")
SIZES = [1, 2, 7, 10**6, 2**31, 2**63, 10**30]
ACCURACIES = [1e-300, 1e-17, 2.0**-53, 0.1, 0.5, 1.0, 3.9999999999999996, 1e3]
CHANCES = [1e-300, 2.0**-53, 0.05, 0.5, 1 - 2.0**-53]
GOLDEN = [0.6180339887498948, 2 / 3, 0.75, 0.99, 1 - 2.0**-53]
SCALES = [1e-300, 1e-17, 0.1, 1.0, 3.0, 2.0**60, 1e300]


def sizes(rng):
    return rng.choice([rng.randint(1, 9), rng.randint(1, 10**6), rng.randint(1, 10**18)])


def accuracies(rng):
    return 10 ** rng.uniform(-12, 0)


def chances(rng):
    return rng.choice([rng.random(), 10 ** rng.uniform(-30, -1)]) or 0.5


def scales(rng):
    return 10 ** rng.uniform(-9, 9)


def gammas(rng):
    return rng.choice([rng.uniform(0.6181, 0.95), rng.uniform(0.95, 0.999999)])


def malach_layer_width(n_max, depth, eps, delta):
    n, l, e = map(mpf, (n_max, depth, eps))  # noqa: E741
    per_weight = int(ceil(64 * l**2 * n**3 / e**2 * log(2 * n**2 * l / mpf(delta))))
    return {"per_weight": per_weight, "layer": n_max**2 * per_weight,
            "log10_layer": mpmath.log10(n_max**2 * per_weight)}  # fmt: skip


def pensia_order(d, depth, eps, constant):
    return mpf(constant) * d * log(mpf(d) * depth / mpf(eps))


def orseau_weight_accuracy(eps, depth, n_max, f_max, norm_product, form):
    e = exp(1) if form == "printed" else 1
    return mpf(eps) / (e * depth * mpf(n_max) ** mpf("1.5") * mpf(f_max) * mpf(norm_product))


def orseau_num_bits(w_max, eps_w):
    base, ratio = log(mpf("1.5")), mpf(w_max) / mpf(eps_w)
    return {"kprime": log(3 * ratio) / base, "k": int(ceil(log(2 * ratio) / base))}


def orseau_layer_width(n_out, n_in, depth, n_star, delta, kprime, theorem):
    k, pairs = mpf(kprime), mpf(n_out) * n_in
    three = int(ceil(16 * k * (pairs + log(2 * depth * k / mpf(delta)))))
    union = log(2 * k * n_star / mpf(delta))
    thirty = int(ceil(2 * k * (pairs + 4 * max(n_out, n_in) * union)))
    corrected = int(ceil(16 * k * (pairs + union)))
    return {"3": three, "30": thirty, "3-corrected": corrected, "min": min(three, thirty)}[theorem]


def golden_ratio_samples(eps, delta, gamma, w_max):
    e, g, w = mpf(eps), mpf(gamma), mpf(w_max)
    steps = log(e / w) / log(g)
    k = int(mpmath.nint(steps))
    if abs(steps - k) > mpf(10) ** -40:
        k = int(ceil(steps))
    return {"kprime": 1 + steps, "k": k, "m": int(ceil((1 + steps) * log((1 + steps) / delta))),
            "support": [g * g * e, g * w], "c": 1 / log(w / (g * e))}  # fmt: skip


def fill_categories_samples(c, n, k, delta):
    return int(ceil(2 / mpf(c) * (n + log(k / mpf(delta)))))


def anytime_density(v, gamma, form):
    above = log(1 / mpf(v)) if form == "printed" else log(1 / mpf(gamma))
    return above / (mpf(v) * log(mpf(v)) ** 2)


def product_weight_density(w, alpha, beta):
    w, low, high = mpf(w), mpf(alpha), mpf(beta)
    c = 1 / log(high / low)
    u = 2 * c * (log(w) - log(low * high))
    if abs(u) > 2 - mpf(10) ** -100:
        return {"pdf": mpf(0), "cdf": mpf(u > 0)}
    cdf = (u + 2) ** 2 / 8 if u <= 0 else 1 - (2 - u) ** 2 / 8
    return {"pdf": c / w * (1 - abs(u) / 2), "cdf": cdf}


def hyperbolic_icdf(u, alpha, beta):
    return mpf(alpha) * (mpf(beta) / mpf(alpha)) ** mpf(u)


def unknown_w_max_factor(w_max):
    j = 0
    while 2**j < Fraction(w_max):
        j += 1
    return 2 ** (j + 1)


def iterand_min_samples(eps, delta):
    return int(ceil(2 / mpf(eps) * log(1 / mpf(delta))))


def iterand_width(lemma, eps, delta, R, d_in, d_out, depth, form):
    d, n = mpf(d_in), mpf(d_out)
    eta, theta, times = {
        "A4": (mpf(eps), mpf(delta), 1),
        "A5": (eps / sqrt(n), delta / n, 1),
        "A6": (eps / (d * sqrt(n)), delta / (d * n), d_in),
        "A1": (eps / (2 * depth * d * sqrt(n)), delta / (depth * d * n), d_in),
    }[lemma]
    if form == "printed":
        return times * 2 * int(ceil(16 / (eta**2 * mpf(R) ** 2) * log(2 / theta)))
    if eta >= 4:
        return times * 2
    with mpmath.workdps(400 if eps > 1e-20 else 1500):
        q = 1 - (1 - eta / 4) ** R
        return (
            times * 2 * max(1, int(ceil(log(2 / theta) / -log(1 - q**2)))) if q < 1 else times * 2
        )


def iterand_resampling_threshold(eps, delta, d_in, d_out, depth, form):
    cells = 2 * mpf(depth) * d_in * d_out / mpf(delta)
    if form == "printed":
        return 8 * mpf(depth) * d_in / mpf(eps) * sqrt(d_out * log(cells))
    with mpmath.workdps(300 if min(eps, delta) > 1e-40 else 1000):
        eta = mpf(eps) / (2 * mpf(depth) * d_in * sqrt(mpf(d_out)))
        return log(1 - sqrt(1 - 1 / cells)) / log(1 - eta / 4) if eta < 4 else mpf(1)


def iterand_event_probability(w, eps, d, R):
    with mpmath.workdps(200 if eps > 1e-20 else 1500):
        pu, cells = min(mpf(eps) / 4, mpf(1)), mpf(eps) / 2

        def half(x):
            pv = (min(x + cells, mpf(1)) - max(x - cells, mpf(-1))) / 2
            return 1 - (1 - (1 - (1 - pu) ** R) * (1 - (1 - pv) ** R)) ** (d // 2)

        return half(mpf(w)) * half(-mpf(w))


LEMMAS, FORMS = ["A4", "A5", "A6", "A1"], ["printed", "corrected"]
DRAWS: dict[str, tuple[Any, dict[str, tuple[Any, list[Any]]]]] = {
    "malach_layer_width": (malach_layer_width, {
        "n_max": (sizes, SIZES), "depth": (sizes, SIZES), "eps": (accuracies, ACCURACIES),
        "delta": (chances, CHANCES)}),
    "pensia_order": (pensia_order, {
        "d": (sizes, SIZES), "depth": (sizes, SIZES), "eps": (accuracies, ACCURACIES),
        "constant": (scales, SCALES)}),
    "orseau_weight_accuracy": (orseau_weight_accuracy, {
        "eps": (accuracies, ACCURACIES), "depth": (sizes, SIZES), "n_max": (sizes, SIZES),
        "f_max": (scales, SCALES), "norm_product": (lambda r: 1 + scales(r), [1, 2.0, 1e300]),
        "form": (None, ["printed", "tight"])}),
    "orseau_num_bits": (orseau_num_bits, {
        "w_max": (lambda r: r.uniform(1, 9), [1.0, 0.34, 1.5**20, 1e300]),
        "eps_w": (accuracies, [1e-300, 1e-17, 1.0, 2.0**-53, 1.5])}),
    "orseau_layer_width": (orseau_layer_width, {
        "n_out": (sizes, SIZES), "n_in": (sizes, SIZES), "depth": (sizes, SIZES),
        "n_star": (sizes, SIZES), "delta": (chances, CHANCES),
        "kprime": (lambda r: r.uniform(1, 99), [1, 2.5, 1e-9, 39.25, 1e300]),
        "theorem": (None, ["3", "3-corrected", "30", "min"])}),
    "golden_ratio_samples": (golden_ratio_samples, {
        "eps": (accuracies, [1e-300, 1e-17, 0.75**9, 0.75**33, 0.1, 1.0]),
        "delta": (chances, CHANCES), "gamma": (gammas, GOLDEN),
        "w_max": (lambda r: r.uniform(1, 9), [1.0, 2.0, 1e300])}),
    "fill_categories_samples": (fill_categories_samples, {
        "c": (chances, [1, *CHANCES]), "n": (sizes, SIZES), "k": (sizes, SIZES),
        "delta": (chances, CHANCES)}),
    "anytime_density": (anytime_density, {
        "v": (lambda r: r.uniform(0, 0.6) or 0.1, [5e-324, 1e-300, 1e-17, 0.5, 0.618]),
        "gamma": (gammas, GOLDEN), "form": (None, FORMS)}),
    "product_weight_density": (product_weight_density, {
        "w": (scales, [1e-300, 0.01, 1.0, 9.0, 1e300]),
        "alpha": (lambda r: 10 ** r.uniform(-9, 0), [1e-150, 0.1, 1.0, 3.0]),
        "beta": (lambda r: 10 ** r.uniform(0.1, 9), [math.nextafter(3, 4), 4.0, 1e150])}),
    "hyperbolic_icdf": (hyperbolic_icdf, {
        "u": (lambda r: r.random(), [0, 1, 1e-300, 0.5, 1 - 2.0**-53]),
        "alpha": (lambda r: 10 ** r.uniform(-9, 0), [1e-300, 0.1, 1.0, 3.0]),
        "beta": (lambda r: 10 ** r.uniform(0.1, 9), [math.nextafter(3, 4), 4.0, 1e300])}),
    "unknown_w_max_factor": (unknown_w_max_factor, {
        "w_max": (lambda r: math.nextafter(2.0 ** r.randint(-5, 60), r.choice([0, math.inf])),
                  [5e-324, 0.5, 1, 2, 2**60 + 1, 2.0**60, 1e308])}),
    "iterand_min_samples": (iterand_min_samples, {
        "eps": (accuracies, ACCURACIES), "delta": (chances, CHANCES)}),
    "iterand_width": (iterand_width, {
        "lemma": (None, LEMMAS), "eps": (accuracies, ACCURACIES), "delta": (chances, CHANCES),
        "R": (lambda r: r.randint(1, 999), [1, 2, 10**6, 10**9]),
        "d_in": (sizes, SIZES), "d_out": (sizes, SIZES), "depth": (sizes, SIZES),
        "form": (None, FORMS)}),
    "iterand_resampling_threshold": (iterand_resampling_threshold, {
        "eps": (accuracies, ACCURACIES), "delta": (chances, CHANCES), "d_in": (sizes, SIZES),
        "d_out": (sizes, SIZES), "depth": (sizes, SIZES), "form": (None, FORMS)}),
    "iterand_event_probability": (iterand_event_probability, {
        "w": (lambda r: r.uniform(-1, 1), [-1, 0, 1, 0.5, 1e-300]),
        "eps": (accuracies, [1e-160, 1e-90, 1e-17, 0.25, 4.0]),
        "d": (lambda r: 2 * r.randint(1, 999), [2, 30, 10**6]),
        "R": (lambda r: r.randint(1, 99), [1, 2, 1000])}),
}  # fmt: skip


def held(expected: Any) -> bool:
    """Whether floats hold every number with all their digits."""
    if isinstance(expected, dict | list):
        return all(map(held, expected.values() if isinstance(expected, dict) else expected))
    normal = mpf(2.2250738585072014e-308) <= abs(expected) <= mpf(1.7976931348623157e308)
    return isinstance(expected, int) or expected == 0 or normal


def same(found: Any, expected: Any) -> bool:
    """Whether all numbers that are expected come out, integers exactly."""
    if isinstance(expected, dict):
        return all(same(found[key], value) for key, value in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, int):
        return type(found) is int and found == expected
    return type(found) is float and abs(found - expected) <= 1e-12 * abs(expected)


def drawn(name: str, edges: bool, count: int) -> list[dict[str, Any]]:
    rng = random.Random(f"{name} {edges}")
    _, columns = DRAWS[name]
    return [
        {key: rng.choice(edge) if edges or draw is None else draw(rng)
         for key, (draw, edge) in columns.items()}
        for _ in range(count)
    ]  # fmt: skip


def outcome(name: str, arguments: dict[str, Any]) -> Any:
    """The value, or the one line of its refusal."""
    try:
        return getattr(theory, name)(**arguments)
    except SpecError as error:
        return str(error)


def in_domain(name: str, given: dict[str, Any]) -> bool:
    if name == "orseau_num_bits":
        return given["eps_w"] < 3 * given["w_max"]
    if name in ("product_weight_density", "hyperbolic_icdf"):
        return given["alpha"] < given["beta"]
    return given["v"] <= given["gamma"] if name == "anytime_density" else True


@pytest.mark.parametrize("name", DRAWS)
def test_a_bound_is_what_two_hundred_digits_say(name):
    reference, wrong = DRAWS[name][0], []
    for edges, count, figures in ((False, 1000, 200), (True, 50, 1200)):
        for given in filter(partial(in_domain, name), drawn(name, edges, count)):
            with mpmath.workdps(figures):
                found, expected = outcome(name, given), reference(**given)
                if not (same(found, expected) if held(expected) else isinstance(found, str)):
                    wrong.append((given, found, expected))
    assert not wrong, (len(wrong), wrong[0])


PACKED = [
    lambda x: np.int64(x) if isinstance(x, int) and x < 2**63 else x,
    lambda x: np.int32(x) if isinstance(x, int) and x < 2**31 else np.array(x),
    lambda x: torch.tensor(x, dtype=torch.float64 if isinstance(x, float) else torch.int64),
]


@pytest.mark.parametrize("name", DRAWS)
def test_numbers_of_numpy_and_torch_are_taken_as_pythons(name):
    for given in drawn(name, False, 20):
        for pack in PACKED:
            packed = {k: v if isinstance(v, str) else pack(v) for k, v in given.items()}
            assert outcome(name, packed) == outcome(name, given)


@pytest.mark.parametrize("name", DRAWS)
def test_what_is_no_number_is_refused_in_one_line(name):
    given = drawn(name, False, 1)[0]
    for key in given:
        for bad in (True, np.True_, "0.1", None, math.nan, -math.inf, 1j, [], [[]], {}, 10**400):
            refusal = outcome(name, {**given, key: bad})
            assert isinstance(refusal, str), (key, bad)
            assert "\n" not in refusal


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


VACUOUS = [
    ("malach_layer_width", (9, 2, 1.5, 0.1)),
    ("pensia_order", (2, 1, 5.0, 1.0)),
    ("orseau_weight_accuracy", (3.5, 2, 9, 1.0, None, None, 1.0)),
    ("orseau_num_bits", (1.0, 1.5)),
    ("orseau_layer_width", (1, 1, 1, 1, 0.5, 1e-9)),
    ("orseau_architecture", ([4, 4], 1.0, 2.5)),
    ("iterand_min_samples", (1.5, 0.1)),
    ("iterand_width", ("A4", 1.5, 0.1, 2)),
    ("iterand_resampling_threshold", (1.5, 0.1)),
]


@pytest.mark.parametrize(("name", "arguments"), VACUOUS)
def test_a_bound_that_says_nothing_warns_at_the_line_that_asked(name, arguments):
    with pytest.warns(theory.VacuousBound) as caught:
        getattr(theory, name)(*arguments)
    assert any(warning.filename == __file__ for warning in caught)
