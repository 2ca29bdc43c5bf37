from __future__ import annotations

import itertools
import random
from fractions import Fraction

import numpy as np
import pytest
import torch

from prunekit.errors import SpecError
from prunekit.theory import subset_sum_weight


def nearest(w: float, products: list[float]) -> float:
    """The least error over all subsets, one by one."""
    masks = itertools.product([0, 1], repeat=len(products))
    return min(abs(w - np.dot(mask, products)) for mask in masks)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_no_subset_is_nearer(count):
    rng = np.random.default_rng(count)
    for w in rng.uniform(-1.5, 1.5, 20):
        products = rng.uniform(-1, 1, count)
        found = subset_sum_weight(w, products)
        assert found.error == pytest.approx(nearest(w, products), abs=1e-12)
        assert found.value == pytest.approx(products[found.mask].sum(), abs=1e-15)


def test_a_sum_is_found_again():
    found = subset_sum_weight(0.31, [0.1, 0.5, 0.21, -0.4])
    assert found.mask.tolist() == [True, False, True, False]
    assert subset_sum_weight(-0.4, [0.1, 0.5, 0.21, -0.4]).mask.tolist() == [False] * 3 + [True]
    assert not subset_sum_weight(0.0, [0.3]).mask.any()


def test_14_uniform_products_make_all_of_21_weights_to_a_hundredth():
    """In 98 % of trials; 60 of them have at least 52 with confidence 99.99 %."""
    rng = np.random.default_rng(0)
    weights, hits = np.linspace(-1, 1, 21), 0
    for _ in range(60):
        products = rng.uniform(-1, 1, 14)
        hits += all(subset_sum_weight(float(w), products).error <= 1e-2 for w in weights)
    assert hits >= 52


@pytest.mark.parametrize(
    ("w", "products", "message"),
    [
        (float("nan"), [0.1], "w must be a finite number: nan"),
        (0.1, [], "products must have 1 axes"),
        (0.1, [float("inf")], "products must hold finite numbers"),
        (0.1, [0.1] * 37, "products must hold at most 36 numbers; their number is: 37"),
    ],
)
def test_what_cannot_be_searched_is_refused(w, products, message):
    with pytest.raises(SpecError, match=message):
        subset_sum_weight(w, products)


def test_value_and_error_are_those_of_fractions_and_no_subset_of_fractions_is_nearer():
    rng = random.Random(1)
    for _ in range(1000):
        scale = 10.0 ** rng.randint(-150, 150)
        products = [rng.uniform(-1, 1) * scale for _ in range(rng.randint(1, 6))]
        w = rng.choice([0.0, rng.uniform(-2, 2)]) * scale
        found = subset_sum_weight(w, products)
        exactly = [Fraction(product) for product in products]
        total = sum(itertools.compress(exactly, found.mask))
        assert found.value == float(total)
        assert found.error == float(abs(Fraction(w) - total))
        every = itertools.product([0, 1], repeat=len(products))
        least = min(abs(w - sum(itertools.compress(exactly, mask))) for mask in every)
        assert found.error <= float(least) + 1e-14 * scale


def test_products_of_numpy_and_torch_are_taken_and_bools_are_not():
    plain = subset_sum_weight(0.75, [0.5, 0.25, 0.125])
    for kind in (np.float32, torch.tensor, tuple):
        found = subset_sum_weight(np.float32(0.75), kind([0.5, 0.25, 0.125]))
        assert (found.mask == plain.mask).all()
    for bad in ([True], ["1"], [None], 0.5, [[0.5]], []):
        with pytest.raises(SpecError, match="products must"):
            subset_sum_weight(0.5, bad)


def test_products_whose_sum_passes_every_float_are_refused():
    with pytest.raises(SpecError, match="products must have sizes whose sum a float holds"):
        subset_sum_weight(1.0, [1e308, 1e308])
