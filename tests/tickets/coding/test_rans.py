from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from prunekit.tickets.coding.rans import (
    STEPS,
    WHOLE,
    Reader,
    cost,
    decode,
    encode,
    encode_bits,
    entropy,
    frequencies,
)

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


def bits_read(content, shares):
    """Parts of bits from a code that must end with them."""
    reader = Reader.of(content)
    found = [reader.bits(part) for part in shares]
    reader.end()
    return found


def with_shares(size, seed=0, low=1, high=WHOLE - 1):
    """(bits, shares): shares of 2^16 in [low, high], and bits that follow them."""
    rng = np.random.default_rng(seed)
    shares = rng.integers(low, high + 1, size).astype(np.uint16)
    return rng.random(size) < shares / WHOLE, shares


def least(bits, shares):
    """Bytes that the bits take at the least."""
    ones = shares.astype(np.int64)
    return float((16 - np.log2(np.where(bits, ones, WHOLE - ones))).sum()) / 8


share = st.one_of(st.sampled_from([1, 2, WHOLE // 2, WHOLE - 2, WHOLE - 1]), st.integers(1, 65535))


@given(st.lists(st.lists(st.tuples(st.booleans(), share), max_size=40), max_size=4))
@example([[], [(True, 1), (False, WHOLE - 1)], []])
def test_bits_with_shares_of_their_own_come_back(parts):
    given = [
        (np.array([bit for bit, _ in part], bool), np.array([s for _, s in part], np.uint16))
        for part in parts
    ]
    found = bits_read(encode_bits(given), [shares for _, shares in given])
    assert [part.tolist() for part in found] == [bits.tolist() for bits, _ in given]


@given(st.integers(0, 12_000), st.integers(0, 12_000), st.integers(0, 3))
def test_bits_over_several_lanes_come_back(first, second, seed):
    """Unlikely bits, of up to 16 bits each: up to 90 lanes, and parts that end within a row."""
    rng = np.random.default_rng(seed)
    given = [(rng.random(size) < 0.5, with_shares(size, seed)[1]) for size in (first, second)]
    found = bits_read(encode_bits(given), [shares for _, shares in given])
    assert all((part == bits).all() for part, (bits, _) in zip(found, given))


@pytest.mark.parametrize(("low", "high"), [(1, WHOLE - 1), (20_000, 40_000), (60_000, WHOLE - 1)])
def test_bits_cost_what_their_shares_say(low, high):
    bits, shares = with_shares(600_000, 1, low, high)
    content = encode_bits([(bits[:7], shares[:7]), (bits[7:], shares[7:])])
    assert least(bits, shares) - 8 < len(content) < 1.015 * least(bits, shares) + 12


def test_likely_bits_take_next_to_nothing():
    content = encode_bits([(np.ones(10_000, bool), np.full(10_000, WHOLE - 1, np.uint16))])
    assert len(content) <= 4 + 8 + 4  # 0.2 bits


def test_bits_of_another_length_are_refused():
    bits, shares = with_shares(20_000)
    content = encode_bits([(bits, shares)])
    for other in (b"", content[:3], content[:-4], content + b"\0" * 4, content[:-1], content[:40]):
        with pytest.raises(ValueError, match=r"no code of|the code"):
            bits_read(other, [shares])
    for count in (0, 1, 19_999):
        with pytest.raises(ValueError, match="the code does not end where its symbols end"):
            bits_read(content, [shares[:count]])
    with pytest.raises(ValueError, match="the code ends before its symbols end"):
        bits_read(content, [shares, shares])


def test_bits_with_other_shares_are_other_bits_or_refused():
    bits, shares = with_shares(20_000)
    content = encode_bits([(bits, shares)])
    with pytest.raises(ValueError, match="the code"):
        bits_read(content, [shares[::-1]])


def test_a_changed_byte_of_bits_is_found_out():
    """A state that ends elsewhere: chance lets one of 2^31 changes through."""
    bits, shares = with_shares(400)
    content = encode_bits([(bits, shares)])
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x5A
        with pytest.raises(ValueError, match=r"no code of|the code"):
            bits_read(bytes(changed), [shares])


def test_a_table_and_bits_are_read_from_one_code():
    """Symbols by a table are bits by shares where the table has two."""
    table = np.array([WHOLE - 20_000, 20_000])
    symbols = drawn([0.7, 0.3], 20_000)
    shares = np.full(20_000, 20_000, np.uint16)
    content = encode([(symbols, table)])
    assert content == encode_bits([(symbols == 1, shares)])
    reader = Reader.of(content)
    lanes = len(reader.states)
    assert lanes > 1
    whole = 100 * lanes
    assert (reader.bits(shares[:whole]) == (symbols[:whole] == 1)).all()
    assert (reader.symbols(20_000 - whole, table) == symbols[whole:]).all()
    reader.end()


def test_more_bits_than_steps_for_the_lanes_are_refused_before_they_are_read():
    reader = Reader.of(encode_bits([]))
    some = np.full(STEPS // 2, WHOLE // 2, np.uint16)
    with pytest.raises(ValueError, match=f"no code of {STEPS + 1} symbols in 1 lanes"):
        reader.bits(np.broadcast_to(some[:1], STEPS + 1))
    assert (reader.at, reader.states.tolist()) == (0, [2**31])


def test_more_bits_than_steps_have_lanes_enough():
    count = STEPS + 5
    given = np.ones(count, bool), np.full(count, WHOLE - 1, np.uint16)
    content = encode_bits([given])
    assert int.from_bytes(content[:4], "little") == 2
    assert bits_read(content, [given[1]])[0].all()
