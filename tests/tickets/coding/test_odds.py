"""Odds are integers: the same sums in any order, near what the bits really are."""

from __future__ import annotations

import math
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import example, given

from prunekit.tickets.coding import odds
from prunekit.tickets.coding.contexts import FEATURES
from prunekit.tickets.coding.odds import HIDDEN, MOST, ONE, ROWS, SHARES, STEP, Odds, fit, sizes
from prunekit.tickets.coding.rans import WHOLE

LARGEST, SMALLEST = 2**15 - 1, -(2**15)


def hand_made(features=2, groups=3):
    """A network of zeros, to be filled."""
    return Odds(tuple(np.zeros(size, np.int16) for size in sizes(features, groups)))


def share_of(logit):
    """2^16 times the logistic function of a logit that counts in 1/64."""
    return round(WHOLE / (1 + math.exp(-logit / ONE)))


def by_python(network, features, group):
    """The formula of the docstring in Python's integers: one share for each row."""
    first, second, third = (layer.tolist() for layer in network.layers)
    known = len(features[0])
    found = []
    for row in features.tolist():
        x = _by_python(row, first[:known], first[known + group])
        for layer in (second, third):
            x = _by_python([max(value, 0) for value in x], layer[:-1], layer[-1])
        found.append(share_of(min(max(x[0], -MOST), MOST)))
    return found


def _by_python(x, weights, bias):
    columns = zip(*weights)
    return [(sum(map(int.__mul__, x, c)) + b * ONE) // STEP for c, b in zip(columns, bias)]


def random_network(rng, features, groups, reach=(2**11, 2**7, 2**4)):
    """Numbers below `reach`; of the default reach, logits on both sides of 0 and seldom clipped."""
    each = zip(reach, sizes(features, groups))
    return Odds(tuple(rng.integers(-most, most, size).astype(np.int16) for most, size in each))


def test_one_path_is_counted_by_hand():
    network = hand_made()
    first, second, third = network.layers
    first[1, 5], first[2 + 1, 5] = 2 * STEP, STEP // 2  # twice the second feature, and a half
    second[5, 7] = STEP // 4
    third[7, 0], third[-1, 0] = -STEP, STEP
    features = np.array([[9, 64], [9, 128], [9, -64]], np.int16)
    # 2.5 / 4 -> 0.625, 4.5 / 4 -> 1.125, relu -> 0; the logit is 1 less this
    logits = [ONE - 40, ONE - 72, ONE]
    assert network.shares(features, 1).tolist() == [share_of(logit) for logit in logits]
    # without the half of group 1: 2 / 4, 4 / 4, 0
    logits = [ONE - 32, ONE - 64, ONE]
    assert network.shares(features, 2).tolist() == [share_of(logit) for logit in logits]


def test_sums_are_rounded_down():
    network = hand_made()
    network.layers[2][-1, 0] = -1  # a bias of -1 / 2^14: a logit of -1 / 64, not of 0
    assert network.shares(np.zeros((1, 2), np.int16), 0).tolist() == [share_of(-1)]


@pytest.mark.parametrize(("bias", "logit"), [(LARGEST, MOST), (SMALLEST, -MOST)])
def test_the_largest_logit_leaves_a_share_to_the_other_bit(bias, logit):
    network = hand_made()
    network.layers[2][-1, 0] = bias
    found = network.shares(np.zeros((1, 2), np.int16), 0)
    assert found.dtype == np.uint16
    assert found.tolist() == [share_of(logit)]


def test_no_share_is_nothing_or_everything():
    assert SHARES[0] == 1
    assert SHARES[-1] == WHOLE - 1
    assert SHARES[MOST] == WHOLE // 2
    assert (np.diff(SHARES) >= 0).all()
    assert (SHARES + SHARES[::-1] == WHOLE).all()


def test_no_machine_s_exponential_rounds_a_share_otherwise():
    """An exponential is right to about 1e-15; no share is nearer to an edge than 1e-6."""
    exact = [WHOLE / (1 + math.exp(-logit / ONE)) for logit in range(-MOST, MOST + 1)]
    assert min(abs(value % 1 - 0.5) for value in exact) > 1e-6


@given(st.integers(0, 2**32), st.sampled_from([1, 3, 20]))
@example(0, 20)
def test_shares_are_those_of_exact_integers(seed, count):
    rng = np.random.default_rng(seed)
    for reach in ((2**11, 2**7, 2**4), (2**15, 2**15, 2**15)):
        network = random_network(rng, count, 2, reach)
        features = rng.choice([-512, 512, 3, -64], (6, count)).astype(np.int16)
        assert network.shares(features, 1).tolist() == by_python(network, features, 1)


@given(st.integers(0, 2**32))
def test_the_largest_sums_are_exact(seed):
    """Of the last layer, whose inputs reach 2^33: an odd unit is not lost beside 2^52."""
    rng = np.random.default_rng(seed)
    x = rng.choice([5_402_000_000, 5_402_000_001], (4, HIDDEN))
    weights = rng.choice([SMALLEST, LARGEST, 1], (HIDDEN, 3))
    bias = rng.choice([SMALLEST, LARGEST], 3)
    found = odds._layer(x.astype(float), weights.astype(float), bias.astype(float))
    exact = [_by_python(row, weights.tolist(), bias.tolist()) for row in x.tolist()]
    assert found.tolist() == exact


@pytest.mark.parametrize("count", FEATURES.values())
def test_no_sum_leaves_the_integers_that_float64_holds(count):
    first = (count * 512 * 2**15 + 2**15 * ONE) // STEP + 1
    second = (HIDDEN * first * 2**15 + 2**15 * ONE) // STEP + 1
    assert HIDDEN * second * 2**15 + 2**15 * ONE < 2**53


def test_shares_depend_on_no_batch_and_no_threads():
    rng = np.random.default_rng(1)
    network = random_network(rng, 20, 1)
    features = rng.integers(-512, 513, (ROWS + 77, 20)).astype(np.int16)
    together = network.shares(features, 0)
    assert len(np.unique(together)) > 700
    cuts = [0, 1, 100, 5000, ROWS - 1, ROWS + 3, ROWS + 77]
    parts = [network.shares(features[a:b], 0) for a, b in pairwise(cuts)]
    assert (np.concatenate(parts) == together).all()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert (network.shares(features, 0) == together).all()
    finally:
        torch.set_num_threads(before)


def test_no_features_have_no_shares():
    assert hand_made().shares(np.empty((0, 2), np.int16), 0).tolist() == []


def test_odds_come_back_from_their_numbers():
    network = random_network(np.random.default_rng(2), 4, 3)
    again = Odds.checked(network.flat, 4, 3)
    assert [layer.tolist() for layer in again.layers] == [x.tolist() for x in network.layers]


@pytest.mark.parametrize(
    "change",
    [
        lambda flat: flat[:-1],
        lambda flat: np.append(flat, flat[:1]),
        lambda flat: flat[:0],
        lambda flat: flat.reshape(1, -1),
        lambda flat: flat.astype(np.int32),
        lambda flat: flat.view(np.uint16),
        lambda flat: flat.astype(np.float16),
    ],
)
def test_other_numbers_are_no_odds(change):
    with pytest.raises(ValueError, match="no odds of 4 features"):
        Odds.checked(change(hand_made(4, 3).flat), 4, 3)


def known_bits(size, groups):
    """(features, groups, bits, P(bit)): two features and the group decide."""
    rng = np.random.default_rng(3)
    features = rng.integers(-64, 65, (size, 3)).astype(np.int16)
    group = rng.integers(0, groups, size)
    logit = features[:, 0] * features[:, 1] / 1500 + 2.0 * group - 1
    chance = 1 / (1 + np.exp(-logit))
    return features, group, rng.random(size) < chance, chance


def least_bits(chance):
    """The entropy of bits with these chances."""
    return float(-(chance * np.log2(chance) + (1 - chance) * np.log2(1 - chance)).sum())


def taken_bits(network, features, group, bits):
    """What these odds charge for the bits."""
    ones = np.zeros(len(bits))
    for number in np.unique(group):
        ones[group == number] = network.shares(features[group == number], int(number))
    return float(-np.log2(np.where(bits, ones, WHOLE - ones) / WHOLE).sum())


def test_fitted_odds_cost_the_entropy_and_tell_groups_apart():
    features, group, bits, chance = known_bits(200_000, 2)
    network = fit(features, group, bits, 2)
    least = least_bits(chance)
    assert least < 0.9 * len(bits)
    assert taken_bits(network, features, group, bits) < 1.02 * least
    assert taken_bits(network, features, 1 - group, bits) > 1.2 * least


def test_equal_bits_give_equal_odds_and_leave_chance_alone():
    features, group, bits, _ = known_bits(20_000, 2)
    before = torch.get_rng_state()
    first, second = (fit(features, group, bits, 2).flat for _ in range(2))
    assert (first == second).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_caller_s_defaults_change_no_odds():
    features, group, bits, _ = known_bits(9_000, 2)
    expected = fit(features, group, bits, 2).flat
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            found = fit(features, group, bits, 2).flat
    finally:
        torch.set_default_dtype(torch.float32)
    assert (found == expected).all()


@pytest.mark.parametrize("size", [0, 1])
def test_too_few_bits_still_have_odds(size):
    given = np.zeros((size, 3), np.int16), np.zeros(size, np.int64), np.ones(size, bool)
    network = odds.fit(*given, 2)
    assert Odds.checked(network.flat, 3, 2).shares(given[0], 1).shape == (size,)
