from __future__ import annotations

import itertools

import numpy as np
import pytest

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
