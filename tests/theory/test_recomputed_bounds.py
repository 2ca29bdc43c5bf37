"""Every bound of papers A and D recomputed by mpmath: 1,000 draws (200 digits), 50 edges (1,200).

The formulas below are those of the papers with their letters. Integers must be equal, floats within
1e-12 of themselves; what no float holds must be refused by name.
"""

from __future__ import annotations

import math
import random
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from mpmath import mpf

from prunekit import theory
from prunekit.errors import SpecError
from tests.theory import formulas

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


LEMMAS, FORMS = ["A4", "A5", "A6", "A1"], ["printed", "corrected"]
DRAWS: dict[str, tuple[Any, dict[str, tuple[Any, list[Any]]]]] = {
    "malach_layer_width": (formulas.malach_layer_width, {
        "n_max": (sizes, SIZES), "depth": (sizes, SIZES), "eps": (accuracies, ACCURACIES),
        "delta": (chances, CHANCES)}),
    "pensia_order": (formulas.pensia_order, {
        "d": (sizes, SIZES), "depth": (sizes, SIZES), "eps": (accuracies, ACCURACIES),
        "constant": (scales, SCALES)}),
    "orseau_weight_accuracy": (formulas.orseau_weight_accuracy, {
        "eps": (accuracies, ACCURACIES), "depth": (sizes, SIZES), "n_max": (sizes, SIZES),
        "f_max": (scales, SCALES), "norm_product": (lambda r: 1 + scales(r), [1, 2.0, 1e300]),
        "form": (None, ["printed", "tight"])}),
    "orseau_num_bits": (formulas.orseau_num_bits, {
        "w_max": (lambda r: r.uniform(1, 9), [1.0, 0.34, 1.5**20, 1e300]),
        "eps_w": (accuracies, [1e-300, 1e-17, 1.0, 2.0**-53, 1.5])}),
    "orseau_layer_width": (formulas.orseau_layer_width, {
        "n_out": (sizes, SIZES), "n_in": (sizes, SIZES), "depth": (sizes, SIZES),
        "n_star": (sizes, SIZES), "delta": (chances, CHANCES),
        "kprime": (lambda r: r.uniform(1, 99), [1, 2.5, 1e-9, 39.25, 1e300]),
        "theorem": (None, ["3", "3-corrected", "30", "min"])}),
    "golden_ratio_samples": (formulas.golden_ratio_samples, {
        "eps": (accuracies, [1e-300, 1e-17, 0.75**9, 0.75**33, 0.1, 1.0]),
        "delta": (chances, CHANCES), "gamma": (gammas, GOLDEN),
        "w_max": (lambda r: r.uniform(1, 9), [1.0, 2.0, 1e300])}),
    "fill_categories_samples": (formulas.fill_categories_samples, {
        "c": (chances, [1, *CHANCES]), "n": (sizes, SIZES), "k": (sizes, SIZES),
        "delta": (chances, CHANCES)}),
    "anytime_density": (formulas.anytime_density, {
        "v": (lambda r: r.uniform(0, 0.6) or 0.1, [5e-324, 1e-300, 1e-17, 0.5, 0.618]),
        "gamma": (gammas, GOLDEN), "form": (None, FORMS)}),
    "product_weight_density": (formulas.product_weight_density, {
        "w": (scales, [1e-300, 0.01, 1.0, 9.0, 1e300]),
        "alpha": (lambda r: 10 ** r.uniform(-9, 0), [1e-150, 0.1, 1.0, 3.0]),
        "beta": (lambda r: 10 ** r.uniform(0.1, 9), [math.nextafter(3, 4), 4.0, 1e150])}),
    "hyperbolic_icdf": (formulas.hyperbolic_icdf, {
        "u": (lambda r: r.random(), [0, 1, 1e-300, 0.5, 1 - 2.0**-53]),
        "alpha": (lambda r: 10 ** r.uniform(-9, 0), [1e-300, 0.1, 1.0, 3.0]),
        "beta": (lambda r: 10 ** r.uniform(0.1, 9), [math.nextafter(3, 4), 4.0, 1e300])}),
    "unknown_w_max_factor": (formulas.unknown_w_max_factor, {
        "w_max": (lambda r: math.nextafter(2.0 ** r.randint(-5, 60), r.choice([0, math.inf])),
                  [5e-324, 0.5, 1, 2, 2**60 + 1, 2.0**60, 1e308])}),
    "iterand_min_samples": (formulas.iterand_min_samples, {
        "eps": (accuracies, ACCURACIES), "delta": (chances, CHANCES)}),
    "iterand_width": (formulas.iterand_width, {
        "lemma": (None, LEMMAS), "eps": (accuracies, ACCURACIES), "delta": (chances, CHANCES),
        "R": (lambda r: r.randint(1, 999), [1, 2, 10**6, 10**9]),
        "d_in": (sizes, SIZES), "d_out": (sizes, SIZES), "depth": (sizes, SIZES),
        "form": (None, FORMS)}),
    "iterand_resampling_threshold": (formulas.iterand_resampling_threshold, {
        "eps": (accuracies, ACCURACIES), "delta": (chances, CHANCES), "d_in": (sizes, SIZES),
        "d_out": (sizes, SIZES), "depth": (sizes, SIZES), "form": (None, FORMS)}),
    "iterand_event_probability": (formulas.iterand_event_probability, {
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
