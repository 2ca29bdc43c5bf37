"""Words become values by integers: the laws hold, and the bits are fixed."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from statistics import NormalDist

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from prunekit.draws import chance
from prunekit.draws.quantiles import (
    TABLES,
    log_uniform_values,
    normal_values,
    octaves,
    sign_values,
    uniform_values,
)
from prunekit.errors import SpecError

SCRIPT = Path(__file__).parents[2] / "docs" / "quantile_tables.py"
TOP = 2**31 - 1
EDGES = torch.tensor([0, 1, TOP, -1, -2, -TOP - 1], dtype=torch.int32)
COUNT = 400_000
WORDS = chance.words(3, "test", "values", COUNT)


def test_the_shipped_tables_are_those_that_the_script_writes():
    """A logarithm of another libm may move a rounding by one."""
    written, shipped = runpy.run_path(str(SCRIPT))["tables"](), load_file(TABLES)
    assert written.keys() == shipped.keys()
    for name, table in written.items():
        assert table.shape == shipped[name].shape
        assert (table - shipped[name]).abs().max() <= 1


def test_uniform_values_are_the_high_24_bits_with_one_rounding():
    assert uniform_values(EDGES, 1.0).tolist() == [0, 0, 1 - 2**-23, -(2**-23), -(2**-23), -1]
    step = torch.tensor(0.1 / 2**23, dtype=torch.float32)
    assert torch.equal(uniform_values(WORDS, 0.1), (WORDS >> 8).float() * step)


@pytest.mark.parametrize(
    ("values", "size"),
    [(uniform_values, 5e-32), (sign_values, 1e-38), (normal_values, 1e-31)],
)
def test_sizes_that_float32_would_round_away_are_refused(values, size):
    """tiny = 1.18e-38; a uniform or normal value has 23 or 24 more bits below its size."""
    with pytest.raises(SpecError, match="do not fit into float32; choose larger ones"):
        values(WORDS[:9], size)
    assert values(WORDS[:9], 10 * size).isfinite().all()
    with pytest.raises(SpecError, match="do not fit into float32; choose smaller ones"):
        values(WORDS[:9], 1e39)


def test_a_log_uniform_law_ends_where_float32_does():
    with pytest.raises(SpecError, match="size 1e-39 do not fit into float32; choose larger ones"):
        log_uniform_values(WORDS[:9], 1e-39, 1.0)


def test_sign_values_follow_the_highest_bit():
    size = 0.27216553688049316  # the float32 next to sqrt(2 / 27)
    assert sign_values(EDGES, math.sqrt(2 / 27)).tolist() == [size] * 3 + [-size] * 3


@settings(max_examples=300, deadline=None)
@given(st.integers(0, TOP))
def test_a_normal_value_is_the_exact_quantile_to_one_part_in_a_million(tail):
    exact = -NormalDist().inv_cdf((2 * tail + 1) / 2**33)
    found = normal_values(torch.tensor([tail, tail - TOP - 1], dtype=torch.int32), 1.0)
    assert found.tolist() == pytest.approx([exact, -exact], abs=1e-6)


def test_every_octave_of_the_normal_tail_is_resolved():
    tails = [2**k + j for k in range(31) for j in (-1, 0, 1)]
    exact = [-NormalDist().inv_cdf((2 * tail + 1) / 2**33) for tail in tails]
    found = normal_values(torch.tensor(tails), 1.0)
    assert found.tolist() == pytest.approx(exact, abs=1e-6)
    assert found.max() == pytest.approx(6.338, abs=0.01)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, TOP), st.sampled_from([(0.01, 1.0), (1e-3, 7.0), (0.5, 0.5), (1e-20, 1.0)]))
def test_a_log_uniform_value_is_the_exact_quantile(word, ends):
    low, high = ends
    exact = high * (low / high) ** ((word + 0.5) / 2**31)
    found = log_uniform_values(torch.tensor([word, word - TOP - 1], dtype=torch.int32), low, high)
    assert found.tolist() == pytest.approx([exact, -exact], rel=1e-6)


def test_octaves_are_logarithms_in_fixed_point():
    assert octaves(1.0, 1.0) == 0
    assert octaves(0.25, 1.0) == 2 << 24
    assert octaves(2.0**-90, 1.0) == 90 << 24
    assert octaves(0.01, 1.0) == math.floor(math.log2(100) * 2**24)


def distance(values: torch.Tensor, distribution) -> float:
    """Kolmogorov-Smirnov: the largest difference of the two distribution functions."""
    wanted = distribution(values.double().sort().values)
    steps = torch.arange(len(values) + 1, dtype=torch.float64) / len(values)
    return float(torch.maximum((wanted - steps[:-1]).abs(), (wanted - steps[1:]).abs()).max())


def hyperbolic(w: torch.Tensor) -> torch.Tensor:
    """The distribution function of density 1 / (2 |w| ln 100) on 0.01 <= |w| <= 1."""
    part = (w.abs().clamp(0.01, 1) / 0.01).log() / math.log(100) / 2
    return 0.5 + part * w.sign()


LAWS = [
    (lambda w: uniform_values(w, 2.0), lambda x: (x + 2) / 4),
    (lambda w: normal_values(w, 1.0), torch.special.ndtr),
    (lambda w: log_uniform_values(w, 0.01, 1.0), hyperbolic),
]


@pytest.mark.parametrize(("values", "distribution"), LAWS, ids=["uniform", "normal", "hyperbolic"])
def test_values_follow_their_law(values, distribution):
    """Kolmogorov-Smirnov at 99.99 % confidence, 400,000 values, one fixed seed."""
    limit = math.sqrt(math.log(2 / 1e-4) / 2 / COUNT)
    assert distance(values(WORDS), distribution) < limit


def test_normal_moments_are_those_of_the_normal_law():
    """Five sigma of mean, variance, skewness and fourth moment."""
    values = normal_values(WORDS, 1.0).double()
    for power, wanted, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        spread = 5 * (variance / COUNT) ** 0.5
        assert float((values**power).mean()) == pytest.approx(wanted, abs=spread)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint32])
def test_the_dtype_of_the_words_does_not_matter(dtype):
    words = WORDS[:1000]
    other = words.view(torch.uint32) if dtype == torch.uint32 else words.long() & 0xFFFFFFFF
    for values, _ in LAWS:
        assert torch.equal(values(other.view(10, 100)), values(words).view(10, 100))


BITS = [
    [1057223420, 1072637758, -1080252102],
    [1066458942, 1034492680, -1084426019],
    [1050427947, 1012782686, -1104446732],
]
"""Of the first three values of each law, as int32."""


def test_the_bits_of_values_never_change():
    """Written down when tickets began: a change here makes every ticket unreadable."""
    words = chance.words(0, "init", "w", 3)
    for (values, _), bits in zip(LAWS, BITS):
        assert values(words).view(torch.int32).tolist() == bits
