from __future__ import annotations

import attrs
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from prunekit.tickets.coding import rans
from prunekit.tickets.coding.by_tables import (
    coded_bits,
    coded_numbers,
    decoded_bits,
    decoded_numbers,
)

RNG = np.random.default_rng(0)


def sizes(parts):
    return [(int(part.sum()), len(part)) for part in parts]


def lists(parts):
    return [part.tolist() for part in parts]


@given(st.lists(st.lists(st.booleans(), max_size=40), max_size=4))
def test_bits_come_back(parts):
    arrays = [np.array(part, bool) for part in parts]
    assert lists(decoded_bits(coded_bits(arrays), sizes(arrays))) == parts


def test_few_ones_are_coded_and_even_bits_are_packed():
    rare, even = RNG.random(20_000) < 0.05, RNG.random(20_000) < 0.5
    assert len(coded_bits([rare])) < 1.03 * rans.entropy(np.bincount(rare)) / 8
    assert len(coded_bits([even])) == 1 + 2500
    for part in (rare, even):
        assert (decoded_bits(coded_bits([part]), sizes([part]))[0] == part).all()


def test_each_parameter_has_its_own_density():
    parts = [RNG.random(10_000) < 0.02, RNG.random(10_000) < 0.98]
    assert len(coded_bits(parts)) < 0.2 * 2500


def test_masks_of_ones_and_of_zeros_take_no_room():
    assert len(coded_bits([np.ones(10**6, bool), np.zeros(10**6, bool)])) < 20


@pytest.mark.parametrize("content", [b"", b"p", b"x" + bytes(10), b"p" + bytes(9), b"c" + bytes(9)])
def test_other_bytes_are_refused(content):
    with pytest.raises(ValueError, match=r"no code of|ones"):
        decoded_bits(content, [(40, 80)])


def test_another_number_of_ones_is_refused():
    part = RNG.random(80) < 0.5
    ones = int(part.sum())
    with pytest.raises(ValueError, match="as many ones"):
        decoded_bits(coded_bits([part]), [(ones + 1, 80)])
    with pytest.raises(ValueError, match="90 ones in 80 bits"):
        decoded_bits(coded_bits([part]), [(90, 80)])


@given(st.lists(st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 9), max_size=30), max_size=4))
def test_numbers_come_back(parts):
    arrays = [np.array(part, np.int32) for part in parts]
    assert lists(decoded_numbers(coded_numbers(arrays), [len(p) for p in parts])) == parts


def test_numbers_that_are_spread_alike_share_a_table():
    alike = [RNG.geometric(0.2, 5000) for _ in range(2)]
    apart = [RNG.geometric(0.2, 50_000), RNG.geometric(0.02, 50_000)]
    assert len(coded_numbers(alike).tables) == 1
    assert len(coded_numbers(apart).tables) == 2


def size_of(coded):
    return len(coded.stream) + coded.tables.nbytes + len(coded.low)


def test_draw_numbers_cost_within_five_percent_of_their_empirical_entropy():
    numbers = np.minimum(RNG.geometric(0.05, 400_000) - 1, 117)
    least = rans.entropy(np.bincount(numbers)) / 8
    assert size_of(coded_numbers([numbers])) < 1.02 * least


def test_many_different_numbers_keep_their_lowest_bits_beside_the_table():
    numbers = RNG.integers(0, 2**15, 50_000)
    coded = coded_numbers([numbers])
    assert coded.shift == 3
    assert coded.tables.shape == (1, 4096)
    assert size_of(coded) < 1.2 * 50_000 * 15 / 8


def changed(numbers, **fields):
    return attrs.evolve(numbers, **fields)


def test_damaged_numbers_are_refused():
    numbers = coded_numbers([np.arange(100) % 7])
    table = numbers.tables.copy()
    table[0, 0] += 1
    for other in (
        changed(numbers, tables=table),
        changed(numbers, tables=numbers.tables[0]),
        changed(numbers, tables=np.zeros((1, 7), np.uint16)),
        changed(numbers, tables=np.zeros((1, 5000), np.uint16)),
        changed(numbers, tables=np.concatenate([numbers.tables] * 2)),
        changed(numbers, shift=1),
        changed(numbers, shift=40, low=bytes(500)),
        changed(numbers, low=b"x"),
        changed(numbers, stream=numbers.stream[:-1]),
    ):
        with pytest.raises(ValueError, match=r"table|low bits|code"):
            decoded_numbers(other, [100])
