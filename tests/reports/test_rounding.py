from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.reports.rounding import lone, rounded


@pytest.mark.parametrize(
    ("mean", "std", "texts"),
    [
        (0.97654, 0.0123, ("0.977", "0.012")),  # 123: two digits
        (0.97654, 0.0354, ("0.977", "0.035")),
        (0.97654, 0.0355, ("0.98", "0.04")),  # 355: one digit
        (0.97654, 0.00949, ("0.977", "0.009")),
        (0.97654, 0.0096, ("0.977", "0.010")),  # 960 becomes 1000: two digits
        (12345.6, 234.0, ("12350", "230")),
        (-0.00001, 0.0031, ("0.0000", "0.0031")),  # no minus zero
        (0.5, 0.0, ("0.5", "0")),
        (1e-9, 2.3e-11, ("1.000e-09", "2.3e-11")),
        (math.nan, 0.1, ("nan", "0.1")),
        (0.5, math.nan, ("0.5", "nan")),
    ],
)
def test_a_deviation_keeps_one_or_two_digits_and_the_mean_ends_at_its_place(mean, std, texts):
    assert rounded(mean, std) == texts


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (12345, "12345"), (1.0, "1"), (math.inf, "inf"), (1e20, "1e+20")],
)
def test_a_number_without_a_deviation_keeps_four_digits_and_a_count_all(value, text):
    assert lone(value) == text
    assert rounded(value, None) == (text, None)


@given(st.floats(-1e6, 1e6), st.floats(1e-5, 1e6))
def test_rounding_moves_a_mean_by_less_than_half_of_its_deviation(mean, std):
    text, spread = rounded(mean, std)
    assert abs(Decimal(text) - Decimal(mean)) <= Decimal(std) / 2
    assert abs(Decimal(spread) - Decimal(std)) <= Decimal(std) * Decimal("0.15")
    digits = spread.replace(".", "").strip("0")
    assert 1 <= len(digits) <= 2
    decimals = [len(t.partition(".")[2]) for t in (text, spread)]
    assert decimals[0] == decimals[1]
