"""Chance is a pure function of its address: seed, stream, parameter, element and draw."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunekit import uniform_scores
from prunekit.draws import chance, philox
from prunekit.errors import SpecError


def words(count: int, seed: int = 1, stream: str = "init", name: str = "w", draw: int = 0):
    return chance.words(seed, stream, name, count, draw)


def test_generators_of_different_purposes_differ_and_repeat():
    first, again, other = (chance.generator(0, "sample", n) for n in (1, 1, 2))
    assert torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=again))
    assert not torch.equal(torch.rand(4, generator=chance.generator(0, "sample", 1)),
                           torch.rand(4, generator=other))  # fmt: skip


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), torch.tensor(3)])
def test_a_seed_is_an_integer_of_any_kind(seed):
    assert chance.fold(seed, "sample") == chance.fold(3, "sample")


@pytest.mark.parametrize("seed", ["3", None, 3.0])
def test_a_seed_that_is_no_integer_is_refused(seed):
    with pytest.raises(SpecError, match="a seed must be an integer: "):
        chance.fold(seed, "sample")


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
    assert torch.equal(chance.words_at(1, "init", "w", places, draw), whole[places])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_words_at_count_elements_in_any_integers(dtype):
    elements = torch.tensor([5, 0, 120])
    found = chance.words_at(1, "a", "w", elements.to(dtype))
    assert torch.equal(found, chance.words_at(1, "a", "w", elements))


def test_words_at_may_have_a_draw_for_each_element():
    places = torch.randint(0, 50_000, (40_000,), generator=chance.generator(0))
    numbers = torch.randint(0, 3, (40_000,), generator=chance.generator(1))
    whole = torch.stack([words(50_000, draw=n) for n in range(3)])
    for given_numbers in (numbers, numbers.to(torch.int32)):
        found = chance.words_at(1, "init", "w", places, given_numbers)
        assert torch.equal(found, whole[numbers, places])


def scores(*shape: int, bound: float = 1.0, seed: int = 1, name: str = "w"):
    return uniform_scores(shape, bound, torch.Generator().manual_seed(seed), name)


def test_the_scores_of_an_address_never_change():
    """Written down when they began: the upper 24 bits of words, signed, in steps of 2^-23."""
    known = [5315786, -2025260, -7452613, -476283, -1010257]
    assert (scores(5) * 2**23).tolist() == known
    assert (words(5, stream="scores") >> 8).tolist() == known


def test_scores_are_the_words_of_their_stream_to_their_bound():
    factor = torch.tensor(0.3 / 2**23, dtype=torch.float32)
    bits = words(70_000, seed=2**63 + 5, stream="scores", name="conv.weight")
    expected = (bits >> 8).to(torch.float32) * factor
    found = scores(700, 4, 5, 5, bound=0.3, seed=2**63 + 5, name="conv.weight")
    assert found.dtype == torch.float32
    assert torch.equal(found, expected.view(700, 4, 5, 5))


def test_scores_are_those_of_the_seed_whatever_was_drawn_before():
    rng = torch.Generator().manual_seed(1)
    torch.rand(9, generator=rng)
    before = rng.get_state()
    assert torch.equal(uniform_scores((3, 4), 1.0, rng, "w"), scores(3, 4))
    assert torch.equal(rng.get_state(), before)
    assert torch.equal(scores(12).view(3, 4), scores(3, 4))
    assert scores().shape == ()
    assert scores(4, 0).shape == (4, 0)


def test_scores_depend_on_no_default_and_no_number_of_threads():
    one, before = scores(200_000), torch.get_num_threads()
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            again = scores(200_000)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(before)
    assert torch.equal(again, one)
    assert again.dtype == torch.float32


def test_scores_are_uniform_between_their_bounds():
    """Dvoretzky-Kiefer-Wolfowitz: fails by chance for one address in a million."""
    n = 200_000
    found = scores(n, bound=0.3).double().sort().values
    assert found[0] >= -0.3
    assert found[-1] < 0.3
    seen = torch.arange(1, n + 1) / n
    assert (found / 0.6 + 0.5 - seen).abs().max() < math.sqrt(math.log(2e6) / (2 * n)) + 1 / n


def test_scores_of_other_names_and_seeds_and_of_weights_are_uncorrelated():
    """|r| < 5 standard errors for each (fails by chance once in half a million changes)."""
    first = scores(200_000).double()
    weights = words(200_000).double()
    for other in (scores(200_000, name="v"), scores(200_000, seed=2), weights):
        correlation = torch.corrcoef(torch.stack([first, other.double()]))[0, 1]
        assert abs(float(correlation)) < 5 / 200_000**0.5


def test_scores_without_a_finite_bound_are_refused():
    for bound in (0, -1.0):
        with pytest.raises(SpecError, match="bound of uniform scores must be above 0"):
            uniform_scores((3,), bound, chance.generator(0), "w")
    for bound in (math.inf, math.nan, 1e60):
        with pytest.raises(SpecError, match="do not fit into float32"):
            scores(2, bound=bound)


def test_the_torch_path_gives_the_same_words():
    address = philox.Address.of(1, "init", "w")
    found = philox.torch_blocks(address, torch.arange(300), 0).view(-1)
    assert torch.equal(found, words(1200))


def test_filling_gives_the_values_of_the_words_in_row_major_order():
    def values(bits):
        return (bits >> 8).to(torch.float32)

    plain = chance.fill(torch.empty(3, 5, 4, 2), values, 1, "init", "w")
    assert torch.equal(plain.view(-1), values(words(120)))
    last = torch.empty(3, 5, 4, 2).to(memory_format=torch.channels_last)
    assert torch.equal(chance.fill(last, values, 1, "init", "w"), plain)
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
        chance._address(0, "init", "w", 2**34 + 1, 0)
    with pytest.raises(SpecError, match=r"a draw number lies in \[0, 2\^32\): -1"):
        words(1, draw=-1)
    for elements, draw, message in (
        ([0, -1], 0, r"elements lie in \[0, 17179869184\): -1 to 0"),
        ([2**34], 0, r"elements lie in .*: 17179869184 to 17179869184"),
        ([0, 1], [3, 2**32], r"draw numbers lie in \[0, 4294967296\): 3 to 4294967296"),
        ([0, 1], [3], "1 draw numbers for 2 elements; give one for each"),
    ):
        number = torch.tensor(draw) if isinstance(draw, list) else draw
        with pytest.raises(SpecError, match=message):
            chance.words_at(0, "init", "w", torch.tensor(elements), number)
