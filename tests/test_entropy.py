from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from prunekit.entropy import WHOLE, cost, decode, encode, entropy, frequencies

counts = st.lists(st.integers(0, 10**6), min_size=1, max_size=40).filter(any)


def drawn(shares, size, seed=0):
    """`size` symbols of 0, 1, ... with these shares."""
    return np.random.default_rng(seed).choice(len(shares), size, p=shares)


def coded(*parts):
    """(bytes, [(count, table)]) of some arrays of symbols."""
    tables = [frequencies(np.bincount(part, minlength=2)) for part in parts]
    return encode(list(zip(parts, tables))), [(len(p), t) for p, t in zip(parts, tables)]


@given(counts)
@example([1] + [0] * 7)
@example([10**12, 1])
def test_frequencies_sum_to_the_whole_and_are_zero_only_where_nothing_occurs(counts):
    table = frequencies(np.array(counts))
    assert table.sum() == WHOLE
    assert ((table > 0) == (np.array(counts) > 0)).all()


def test_frequencies_are_the_shares_of_the_counts():
    # 2^16 - 2 shared as 1 : 3, and one more each; the larger takes what rounding leaves
    assert frequencies(np.array([1, 3])).tolist() == [16384, 49152]


@pytest.mark.parametrize("counts", [[], [0, 0], [1] * (WHOLE // 2 + 1)])
def test_frequencies_of_nothing_or_of_too_much_are_refused(counts):
    with pytest.raises(ValueError, match="symbols; a table has room for 1 to 32768"):
        frequencies(np.array(counts, np.int64))


def test_entropy_is_counted_in_bits():
    assert entropy(np.array([4, 4])) == 8  # a bit each
    assert entropy(np.array([7, 0])) == 0
    assert entropy(np.array([2, 1, 1])) == 2 * 1 + 1 * 2 + 1 * 2


def test_cost_is_what_the_table_charges():
    assert cost(np.array([3, 1]), np.array([WHOLE // 2, WHOLE // 4])) == 3 * 1 + 1 * 2


@given(st.lists(st.lists(st.integers(0, 20), max_size=60), max_size=5))
def test_what_is_encoded_is_decoded(parts):
    arrays = [np.array(part, np.int64) for part in parts if part]
    content, tables = coded(*arrays)
    assert [part.tolist() for part in decode(content, tables)] == [a.tolist() for a in arrays]


@given(st.integers(1, 1000), st.integers(0, 3))
def test_any_number_of_symbols_over_several_lanes_comes_back(size, seed):
    symbols = drawn([1 / 512] * 512, 8 * size, seed)  # 9 bits each: up to 17 lanes
    content, tables = coded(symbols, symbols[:5])
    assert [len(part) for part in decode(content, tables)] == [8 * size, 5]
    assert (decode(content, tables)[0] == symbols).all()


def test_a_part_of_one_symbol_takes_no_bytes():
    content, tables = coded(np.full(10**6, 3))
    assert len(content) == 4 + 8  # the number of lanes, and a state
    assert (decode(content, tables)[0] == 3).all()


@pytest.mark.parametrize(
    "shares", [[0.6, 0.4], [0.97, 0.03], [0.5, 0.25, 0.125, 0.125], [1 / 100] * 100]
)
def test_bytes_are_within_two_percent_of_the_entropy(shares):
    symbols = drawn(shares, 400_000)
    content, _ = coded(symbols)
    least = entropy(np.bincount(symbols)) / 8
    assert least - 8 < len(content) < 1.02 * least


def test_the_empirical_entropy_of_a_fair_share_is_the_binary_entropy():
    share = 0.4
    expected = -(share * math.log2(share) + (1 - share) * math.log2(1 - share))
    assert entropy(np.array([6000, 4000])) / 10_000 == pytest.approx(expected)


def test_equal_input_gives_equal_bytes():
    symbols = drawn([0.7, 0.2, 0.1], 50_000)
    assert coded(symbols)[0] == coded(symbols.astype(np.uint8))[0]


def test_bytes_of_another_length_are_refused():
    content, tables = coded(drawn([0.5, 0.3, 0.2], 20_000))
    for other in (b"", content[:3], content[:-4], content + b"\0" * 4, content[:-1]):
        with pytest.raises(ValueError, match=r"no code of|the code"):
            decode(other, tables)


def test_another_count_or_table_is_refused():
    symbols = drawn([0.5, 0.3, 0.2], 20_000)
    content, [(count, table)] = coded(symbols)
    for other in ((count + 1, table), (count - 1, table), (count, table[::-1])):
        with pytest.raises(ValueError, match="the code"):
            decode(content, [other])


def test_more_symbols_than_steps_for_the_lanes_are_refused_at_once():
    content, [(_, table)] = coded(drawn([0.5, 0.5], 100))
    with pytest.raises(ValueError, match="no code of 1000000000 symbols"):
        decode(content, [(10**9, table)])


@given(st.binary(min_size=12, max_size=200))
def test_any_bytes_are_decoded_or_refused(content):
    table = frequencies(np.array([3, 2, 1]))
    lanes = (1).to_bytes(4, "little")
    try:
        (found,) = decode(lanes + content[: len(content) // 4 * 4], [(50, table)])
        assert found.max() <= 2
    except ValueError:
        pass


def test_a_changed_byte_is_found_out_or_changes_no_more_than_symbols():
    symbols = drawn([0.5, 0.3, 0.2], 400)
    content, tables = coded(symbols)
    found_out = 0
    for place in range(4, len(content), 2):
        changed = bytearray(content)
        changed[place] ^= 0x5A
        try:
            assert decode(bytes(changed), tables)[0].max() <= 2
        except ValueError:
            found_out += 1
    assert found_out > 0
