"""Skipping chooses as throwing every coin would, and its bits are fixed."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunekit import bernoulli_positions, draws
from prunekit.bernoulli import LONGEST, coins, count_above, gap_table

RATES = [1e-5, 1e-3, 0.1, 0.37, 0.5, 0.9]


def positions(among: torch.Tensor, rate: float, seed: int = 0) -> torch.Tensor:
    return bernoulli_positions(among, rate, draws.generator(seed, "reinit"), "w")


def everywhere(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.bool)


@pytest.mark.parametrize("rate", RATES)
def test_the_share_chosen_is_the_rate(rate):
    """Five sigma of a binomial count."""
    count = 500_000
    spread = 5 * (count * rate * (1 - rate)) ** 0.5
    assert len(positions(everywhere(count), rate)) == pytest.approx(count * rate, abs=spread)


def test_rate_zero_chooses_nothing_and_one_everything():
    among = torch.tensor([[True, False, True], [False, True, True]])
    assert positions(among, 0.0).tolist() == []
    assert positions(among, 1.0).tolist() == [0, 2, 4, 5]
    assert positions(everywhere(0), 0.5).tolist() == []


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 3000),
    rate=st.one_of(st.sampled_from(RATES), st.floats(0, 1)),
    seed=st.integers(0, 5),
)
def test_positions_ascend_inside_the_tensor_and_do_not_depend_on_its_size(count, rate, seed):
    found = coins(count, rate, seed, "w")
    assert found.dtype == np.int64
    assert (np.diff(found) > 0).all()
    assert not len(found) or (found[0] >= 0 and found[-1] < count)
    longer = coins(2 * count, rate, seed, "w")
    assert (longer[longer < count] == found).all()


def test_elements_that_are_not_asked_about_change_nothing():
    among = torch.rand(60, 50, generator=draws.generator(4)) < 0.5
    some, everyone = positions(among, 0.2), positions(torch.ones_like(among), 0.2)
    assert torch.equal(some, everyone[among.view(-1)[everyone]])
    last = among.view(3, 20, 5, 10).to(memory_format=torch.channels_last)
    assert torch.equal(positions(last, 0.2), some)


def test_another_seed_or_name_throws_other_coins():
    first = coins(10_000, 0.1, 1, "w")
    assert np.array_equal(first, coins(10_000, 0.1, 1, "w"))
    for other in (coins(10_000, 0.1, 2, "w"), coins(10_000, 0.1, 1, "v")):
        assert len(np.intersect1d(first, other)) < 200  # 100 by chance


@pytest.mark.parametrize("rate", RATES[:4])
def test_the_table_is_the_definition(rate):
    """gap = number of T_j above the word, T_j = floor((1 - r)^j 2^32) in exact fractions."""
    words = draws.words(0, "test", "gaps", 2000).numpy().view(np.uint32)
    words[:4] = 0, 1, 2**32 - 1, 2**31
    table, power = gap_table(rate), 1 - Fraction(rate)
    exact = [math.floor(power**j * 2**32) for j in range(1, 200)]
    gaps = np.minimum(table.gaps(words), len(exact))
    assert gaps.tolist() == [sum(t > int(word) for t in exact) for word in words]


def test_a_long_gap_is_walked_in_pieces():
    table = gap_table(1e-5)
    assert table.cut
    assert len(table.thresholds) == LONGEST
    small, large = np.uint32(0), np.uint32(2**32 - 1)
    found, reached = table.walk(np.array([small, large, small, small, large], np.uint32))
    assert found.tolist() == [LONGEST, 3 * LONGEST + 1]
    assert reached == 3 * LONGEST + 2


def test_gaps_are_geometric():
    """Chi-square of the gaps 0 ... 19 and the rest at rate 0.1: 20 degrees, 99.99 % is 52.4."""
    gaps = np.diff(coins(1_000_000, 0.1, 0, "w")) - 1
    counts = np.bincount(np.minimum(gaps, 20), minlength=21)
    shares = np.array([0.1 * 0.9**j for j in range(20)] + [0.9**20])
    expected = shares * len(gaps)
    assert ((counts - expected) ** 2 / expected).sum() < 52.4


def test_too_few_words_are_drawn_again():
    """An estimate that is too small only costs time: the positions are those of the words."""
    found, reached = gap_table(0.1).walk(
        draws.words(0, "bernoulli", "w", 50).numpy().view(np.uint32)
    )
    assert np.array_equal(found, coins(reached, 0.1, 0, "w"))


def test_counting_above_is_strict():
    assert count_above(np.array([2, 5, 5]), np.array([1, 2, 4, 5])).tolist() == [3, 2, 2, 0]


def test_the_coins_never_change():
    """Written down when runs with redraws were first saved."""
    assert coins(60, 0.1, 0, "w").tolist() == [32, 45, 48, 59]
