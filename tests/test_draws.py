"""Chance is a pure function of its address: seed, stream, parameter, element and draw."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunekit import draws, philox
from prunekit.errors import SpecError


def words(count: int, seed: int = 1, stream: str = "init", name: str = "w", draw: int = 0):
    return draws.words(seed, stream, name, count, draw)


def test_generators_of_different_purposes_differ_and_repeat():
    first, again, other = (draws.generator(0, "sample", n) for n in (1, 1, 2))
    assert torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=again))
    assert not torch.equal(torch.rand(4, generator=draws.generator(0, "sample", 1)),
                           torch.rand(4, generator=other))  # fmt: skip


def test_the_words_of_an_address_never_change():
    """Written down when tickets began: a change here makes every ticket unreadable."""
    assert words(6).tolist() == [
        -1704371491,
        -1116086265,
        1982416070,
        126717072,
        -602319165,
        -1248272115,
    ]
    assert words(2, seed=2**64 - 1, stream="bernoulli", name="0.weight", draw=9).tolist() == [
        593550404,
        620969192,
    ]


def test_fewer_words_are_the_first_of_more():
    assert torch.equal(words(70_001)[:65_537], words(65_537))
    assert words(0).tolist() == []


def test_every_part_of_the_address_gives_other_words():
    first = words(1000)
    for other in (
        words(1000, seed=2), words(1000, stream="bernoulli"), words(1000, name="v"),
        words(1000, draw=1),
    ):  # fmt: skip
        assert (first == other).sum() == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 99_999), max_size=30), st.integers(0, 3))
def test_words_at_are_those_of_the_whole(elements, draw):
    places = torch.tensor(elements, dtype=torch.int64)
    whole = words(100_000, draw=draw)
    assert torch.equal(draws.words_at(1, "init", "w", places, draw), whole[places])


def test_words_at_may_have_a_draw_for_each_element():
    places = torch.randint(0, 50_000, (40_000,), generator=draws.generator(0))
    numbers = torch.randint(0, 3, (40_000,), generator=draws.generator(1))
    whole = torch.stack([words(50_000, draw=n) for n in range(3)])
    for given_numbers in (numbers, numbers.to(torch.int32)):
        found = draws.words_at(1, "init", "w", places, given_numbers)
        assert torch.equal(found, whole[numbers, places])


def test_the_torch_path_gives_the_same_words():
    address = philox.Address.of(1, "init", "w")
    found = philox.torch_blocks(address, torch.arange(300), 0).view(-1)
    assert torch.equal(found, words(1200))


def test_filling_gives_the_values_of_the_words_in_row_major_order():
    def values(bits):
        return (bits >> 8).to(torch.float32)

    plain = draws.fill(torch.empty(3, 5, 4, 2), values, 1, "init", "w")
    assert torch.equal(plain.view(-1), values(words(120)))
    last = torch.empty(3, 5, 4, 2).to(memory_format=torch.channels_last)
    assert torch.equal(draws.fill(last, values, 1, "init", "w"), plain)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_the_number_of_threads_does_not_matter():
    before, one = torch.get_num_threads(), words(200_000)
    torch.set_num_threads(2)
    try:
        assert torch.equal(words(200_000), one)
    finally:
        torch.set_num_threads(before)


def test_every_bit_is_set_half_of_the_time():
    """32 bits, 200,000 words: |z| < 5 for each (fails by chance once in 50,000 changes)."""
    bits = words(200_000)
    for place in range(32):
        share = (bits >> place & 1).double().mean()
        assert abs(float(share) - 0.5) < 5 * 0.5 / 200_000**0.5


def test_neighbouring_elements_and_draws_are_uncorrelated():
    first = words(200_000).double()
    for other in (words(200_001)[1:].double(), words(200_000, draw=1).double()):
        correlation = torch.corrcoef(torch.stack([first, other]))[0, 1]
        assert abs(float(correlation)) < 5 / 200_000**0.5


def test_what_cannot_be_addressed_is_refused():
    with pytest.raises(SpecError, match=r"w has 17179869185 weights; at most 17179869184"):
        draws._address(0, "init", "w", 2**34 + 1, 0)
    with pytest.raises(SpecError, match=r"a draw number lies in \[0, 2\^32\): -1"):
        words(1, draw=-1)
