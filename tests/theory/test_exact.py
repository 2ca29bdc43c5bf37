"""Floors, ceilings and powers beside Python's own integers and fractions."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction

import pytest

from prunekit.errors import SpecError
from prunekit.theory.exact import ceiling, exact, expm1, floor, floor_power, held, log1p, written


def test_a_power_is_rounded_down_as_integers_say():
    """r = floor(D^(p/q)) is the one integer with r^q <= D^p < (r + 1)^q."""
    rng = random.Random(1)
    for _ in range(1000):
        base, q = rng.randint(1, 5000), rng.randint(1, 12)
        p = rng.randint(0, 2 * q)
        root = floor_power(base, Fraction(p, q))
        p, q = Fraction(p, q).as_integer_ratio()
        assert root**q <= base**p < (root + 1) ** q


@pytest.mark.parametrize(
    ("base", "alpha", "pruned"),
    [(1024, 0.3, 128), (32, 0.4, 8), (2**900, 0.1, 2**810)],
)
def test_powers_that_are_integers_are_found_by_alphas_as_they_print(base, alpha, pruned):
    assert floor_power(base, 1 - written(alpha)) == pruned


def test_ceilings_and_floors_of_roots_are_those_of_integers():
    rng = random.Random(2)
    for _ in range(1000):
        n = rng.choice([rng.randint(1, 10**40), rng.randint(1, 10**9) ** 2])
        (value,) = exact(n)
        down = math.isqrt(n)
        assert floor(value.sqrt) == down
        assert ceiling(value.sqrt) == down + (down * down < n)


def test_a_value_next_to_an_integer_is_rounded_to_the_right_side():
    for tiny in (Fraction(1, 10**20), Fraction(1, 10**70), Fraction(1, 10**150)):
        above, below = 7 + tiny, 7 - tiny
        assert ceiling(lambda x=above: Decimal(x.numerator) / x.denominator) == 8
        assert floor(lambda x=below: Decimal(x.numerator) / x.denominator) == 6
    assert ceiling(lambda: Decimal(0)) == floor(lambda: Decimal(0) * 10**99) == 0


@pytest.mark.parametrize("x", [1e-300, -1e-300, 1e-17, 0.5, -0.5, 0.0])
def test_logarithms_and_exponentials_of_tiny_numbers_keep_their_digits(x):
    assert float(log1p(Decimal(x))) == pytest.approx(math.log1p(x), rel=1e-15)
    assert float(expm1(Decimal(x))) == pytest.approx(math.expm1(x), rel=1e-15)


def test_what_no_float_holds_is_refused_with_its_logarithm():
    with pytest.raises(SpecError, match=r"^width is more than a float holds .* log10 is 400$"):
        held("width", Decimal("1e400"))
    with pytest.raises(SpecError, match=r"^p is less than a float holds .* log10 is -308$"):
        held("p", Fraction(1, 10**308))
    assert held("zero", 0) == 0.0
    assert held("most", 1.7976931348623157e308) == 1.7976931348623157e308
