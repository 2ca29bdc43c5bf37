"""A coin is what the formula says of its own bytes, and nothing else takes part in it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prunekit import SpecError, bernoulli_positions
from prunekit.draws import chance
from prunekit.draws.bernoulli import chosen_in_torch, chosen_on_cpu, thresholds, true_positions

RATES = [1e-5, 1e-3, 0.1, 0.37, 0.5, 0.9]
SMALLEST = 2.0**-40


def positions(among: torch.Tensor, rate: float, seed: int = 0, name: str = "w") -> torch.Tensor:
    return bernoulli_positions(among, rate, chance.generator(seed, "reinit"), name)


def everywhere(count: int) -> torch.Tensor:
    return torch.ones(count, dtype=torch.bool)


def coin(seed: int, name: str, element: int, rate: float) -> bool:
    """The formula of the docstring, for one element, in Python's integers."""
    scaled = Fraction(rate) * 256
    t = scaled.numerator // scaled.denominator
    bound = (scaled - t) * 2**32 // 1
    word = int(chance.words(seed, "bernoulli", name, element // 4 + 1)[element // 4]) % 2**32
    rest = int(chance.words(seed, "bernoulli rest", name, element + 1)[element]) % 2**32
    byte = word >> 8 * (element % 4) & 255
    return byte < t or (byte == t and rest < bound)


@pytest.mark.parametrize("rate", [0.003, 0.1, 0.5, 0.9999])
def test_each_coin_is_the_formula(rate):
    """At 0.003 and 0.9999 one byte of 256 is chosen or left out by its word alone."""
    seed, found = chance.fold(3, "reinit"), positions(everywhere(700), rate, seed=3)
    assert found.tolist() == [i for i in range(700) if coin(seed, "w", i, rate)]


@pytest.mark.parametrize("rate", RATES)
def test_the_share_chosen_is_the_rate(rate):
    """Five sigma of a binomial count: a right coin fails here once in 1.7 million seeds."""
    count = 2_000_000
    spread = 5 * (count * rate * (1 - rate)) ** 0.5
    assert len(positions(everywhere(count), rate)) == pytest.approx(count * rate, abs=spread)


def test_coins_are_independent_of_their_neighbours():
    """Chosen together at distances 1 ... 16: seven sigma of a Poisson count each."""
    count, rate = 2_000_000, 0.1
    flags = torch.zeros(count)
    flags[positions(everywhere(count), rate)] = 1
    for distance in range(1, 17):
        together = float((flags[distance:] * flags[:-distance]).sum())
        assert together == pytest.approx(count * rate**2, abs=7 * (count * rate**2) ** 0.5)


@pytest.mark.parametrize("rate", [0.0, 1.0, 0.5, 0.1, SMALLEST, 1 - SMALLEST, SMALLEST / 2, 5e-324])
def test_the_thresholds_are_the_rate_to_a_multiple_of_two_to_the_minus_40(rate):
    cut, rest = thresholds(rate)
    stated = Fraction(cut, 256) + Fraction(rest, 2**40)
    assert stated <= Fraction(rate) < stated + Fraction(1, 2**40)
    if (Fraction(rate) * 2**40).denominator == 1:
        assert stated == Fraction(rate)


def test_rate_zero_chooses_nothing_and_one_everything():
    among = torch.tensor([[True, False, True], [False, True, True]])
    assert positions(among, 0.0).tolist() == []
    assert positions(among, 1.0).tolist() == [0, 2, 4, 5]
    for rate in (0.0, 0.5, 1.0):
        assert positions(everywhere(0), rate).tolist() == []
    assert positions(everywhere(300_000), SMALLEST).tolist() == []
    assert len(positions(everywhere(300_000), 1 - SMALLEST)) == 300_000


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_lies_between_zero_and_one(rate):
    with pytest.raises(SpecError, match=r"rate must lie in \[0, 1\]"):
        positions(everywhere(3), rate)


def test_only_a_mask_says_which_elements_throw():
    with pytest.raises(SpecError, match=r"among must be bool: torch\.float32"):
        positions(torch.ones(3), 0.5)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 3000),
    rate=st.one_of(st.sampled_from(RATES), st.floats(0, 1)),
    seed=st.integers(0, 5),
)
def test_positions_ascend_inside_the_tensor_and_do_not_depend_on_its_size(count, rate, seed):
    found = positions(everywhere(count), rate, seed)
    assert found.dtype == torch.int64
    assert (found.diff() > 0).all()
    assert not len(found) or (found[0] >= 0 and found[-1] < count)
    longer = positions(everywhere(2 * count), rate, seed)
    assert torch.equal(longer[longer < count], found)


@pytest.mark.parametrize("rate", [0.002, 0.2, 0.7])
def test_elements_that_are_not_asked_about_change_nothing(rate):
    """Over 262,144 elements, whose bytes are one chunk."""
    among = torch.rand(3, 50, 59, 61, generator=chance.generator(4)) < 0.5
    some, everyone = positions(among, rate), positions(torch.ones_like(among), rate)
    assert torch.equal(some, everyone[among.view(-1)[everyone]])
    last = among.to(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    assert torch.equal(positions(last, rate), some)


def test_another_seed_or_name_throws_other_coins():
    among = everywhere(10_000)
    first = positions(among, 0.1, 1)
    assert torch.equal(first, positions(among, 0.1, 1))
    for other in (positions(among, 0.1, 2), positions(among, 0.1, 1, "v")):
        assert torch.isin(first, other).sum() < 200  # 100 by chance


@pytest.mark.parametrize("count", [0, 1, 5, 300_001])
@pytest.mark.parametrize(("cut", "rest"), [(0, 0), (0, 2**32 - 1), (25, 2**31), (255, 1)])
def test_the_way_beside_the_cpu_throws_the_same_coins(count, cut, rest):
    among = torch.rand(count, generator=chance.generator(4)) < 0.5
    found = chosen_on_cpu(among, cut, rest, 5, "w")
    assert torch.equal(chosen_in_torch(among, cut, rest, 5, "w"), found)


@settings(max_examples=60, deadline=None)
@given(
    start=st.one_of(st.integers(0, 200), st.sampled_from([16_383, 16_384, 2**20])),
    count=st.one_of(st.integers(0, 500), st.integers(260_000, 265_000)),
    cut=st.sampled_from([0, 3, 128, 255, 256]),
)
@example(start=16_384, count=1, cut=255)
def test_a_part_that_starts_at_a_multiple_of_16_throws_the_coins_of_the_whole(start, count, cut):
    """262,144 elements are worked on at once, so a part may end and begin within such a chunk."""
    begin, rest = 16 * start, 0 if cut == 256 else 2**31
    part = torch.rand(count, generator=chance.generator(5)) < 0.8
    whole = torch.zeros(begin + count, dtype=torch.bool)
    whole[begin:] = part
    found = chosen_on_cpu(part, cut, rest, 9, "w", begin)
    assert torch.equal(found + begin, chosen_on_cpu(whole, cut, rest, 9, "w"))


def test_a_part_is_not_the_beginning_of_the_whole():
    parts = [chosen_on_cpu(everywhere(1000), 25, 0, 9, "w", start) for start in (0, 16)]
    assert not torch.equal(*parts)
    assert torch.equal(parts[0][parts[0] >= 16], parts[1][parts[1] < 984] + 16)


@pytest.mark.gpu
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_a_gpu_throws_the_same_coins(rate):
    among = torch.rand(100, 70, 9, generator=chance.generator(4)) < 0.5
    there = positions(among.cuda(), rate)
    assert there.is_cuda
    assert torch.equal(there.cpu(), positions(among, rate))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_true_positions_are_those_of_numpy(share):
    flags = np.random.default_rng(0).random(4000) < share
    assert true_positions(flags).tolist() == np.flatnonzero(flags).tolist()


def test_the_coins_never_change():
    """Written down when a coin became one byte; runs with redraws depend on them."""
    seed = torch.Generator().manual_seed(0)
    assert bernoulli_positions(everywhere(60), 0.1, seed, "w").tolist() == [3, 6, 13, 41]
