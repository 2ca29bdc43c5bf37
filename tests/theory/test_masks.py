from __future__ import annotations

import math

import numpy as np
import pytest

from prunekit.errors import SpecError
from prunekit.theory.masks import (
    global_magnitude_masks,
    kernel_l1_mask,
    magnitude_mask,
    pruned_count,
    random_mask,
)


def test_what_theorem_1_prunes_is_rounded_down():
    assert pruned_count(100, 100, 0.333) == math.floor(10_000**0.667) == 465
    assert pruned_count(100, 100, 0.665) == 21


def test_b1_the_printed_limit_of_alpha_prunes_less_than_the_theorem_needs():
    """It must prune d ln d = 460.5 of 100 x 100: printed alpha <= .665 gives 21, corrected 465."""
    assert pruned_count(100, 100, 0.665) < 100 * math.log(100) < pruned_count(100, 100, 0.333)


def test_the_smallest_entries_are_pruned_of_equal_ones_the_first():
    assert magnitude_mask([[1.0, -1.0], [3.0, -0.5]], 2).tolist() == [[False, True], [True, False]]


def test_one_threshold_decides_over_all_layers():
    first, second = global_magnitude_masks([[[5.0, 1.0]], [[2.0], [-3.0]]], 2)
    assert first.tolist() == [[True, False]]
    assert second.tolist() == [[False], [True]]


def test_kernels_are_ranked_by_their_l1_norm():
    found = kernel_l1_mask([[[[1.0, -2.0], [0.0, 0.0]], [[4.0, 0.0], [0.0, 0.0]]]], 1)
    assert found["scores"].tolist() == [[3, 4]]
    assert found["mask"].tolist() == [[False, True]]


def test_draws_without_replacement_prune_exactly_as_many():
    assert (~random_mask((20, 30), 100, replacement=False, seed=4)).sum() == 100


def test_draws_with_replacement_keep_the_expected_share():
    """(1 - 1/400)^200 = 0.606; |z| < 4.5 over 400 masks, se from the masks themselves."""
    shares = np.array([random_mask((20, 20), 200, seed=seed).mean() for seed in range(400)])
    error = shares.std() / 20
    assert abs(shares.mean() - (1 - 1 / 400) ** 200) < 4.5 * error
    assert shares.min() > 0.5


def test_b2_what_is_pruned_with_replacement_is_neither_the_share_kept_nor_exactly_n():
    mask = random_mask((20, 20), 399, seed=0)
    assert 0 < (~mask).sum() < 399


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pruned_count(0, 3, 0.5), "d_k must be an int >= 1: 0"),
        (lambda: pruned_count(3, 3, 1.0), r"alpha must lie in \(0, 1\): 1.0"),
        (lambda: magnitude_mask([[1.0]], 2), r"n must lie in \[0, 1\]"),
        (lambda: magnitude_mask([[math.nan]], 1), "W must hold finite numbers"),
        (lambda: global_magnitude_masks([], 0), "at least one matrix"),
        (lambda: kernel_l1_mask([[1.0]], 0), "F must have the shape"),
        (lambda: random_mask((2, 2), 5, replacement=False), r"n must lie in \[0, 4\]"),
        (lambda: random_mask((0, 2), 1), "at least one entry"),
        (lambda: random_mask((-2, -3), 1), r"shape\[0\] must be an int >= 0: -2"),
    ],
)
def test_what_cannot_be_pruned_is_said_in_one_line(call, message):
    with pytest.raises(SpecError, match=message):
        call()
