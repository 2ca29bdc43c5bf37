"""Arithmetic whose floors, ceilings and powers are exact, and that neither over- nor underflows.

Formulas are evaluated in decimals of 60 digits, and of more where an integer is too near to tell
on which side a value lies. A float stands for the binary fraction that it is: .1 is a little above
1/10, and .75**33 exactly 3^33/4^33. The one exception is alpha in floor(D^(1 - alpha)), which is
read as the decimal that it prints as (`written`): .3 is 3/10 there, since no power by a binary
fraction that only looks like .3 would ever be an integer.
"""

from __future__ import annotations

import decimal
import sys
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction

from prunekit.errors import SpecError

DIGITS = 60
GUARD = 30
"""Digits that a formula may lose to rounding."""
MOST = 300
"""Digits after which a value that still looks like an integer is one."""
Formula = Callable[[], Decimal]


def digits(count: int = DIGITS) -> decimal.Context:
    """A context for `decimal.localcontext` of so many digits, and of all exponents there are."""
    return decimal.Context(
        prec=count,
        rounding=decimal.ROUND_HALF_EVEN,
        Emin=decimal.MIN_EMIN,
        Emax=decimal.MAX_EMAX,
        traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
    )


def exact(*values: float) -> tuple[Decimal, ...]:
    """Each number as the decimal that it is exactly."""
    return tuple(map(Decimal, values))


def written(value: float) -> Fraction:
    """A number as the decimal that it prints as: .3 is 3/10."""
    return Fraction(str(value))


def ceiling(formula: Formula) -> int:
    """The value of `formula` rounded up, exactly."""
    return _integer(formula, ROUND_CEILING)


def floor(formula: Formula) -> int:
    """The value of `formula` rounded down, exactly."""
    return _integer(formula, ROUND_FLOOR)


def floor_power(base: int, exponent: Fraction) -> int:
    """floor(base ** exponent), exactly; base >= 1. An integer it is only of a base t^q: t^p."""
    p, q = exponent.as_integer_ratio()
    if q <= base.bit_length():
        with decimal.localcontext(digits(DIGITS + len(str(base)))):
            root = round(Decimal(base) ** (1 / Decimal(q)))
        if root**q == base:
            return root**p
    return floor(lambda: (Decimal(base).ln() * p / q).exp())


def _integer(formula: Formula, rounding: str) -> int:
    count = DIGITS
    while True:
        with decimal.localcontext(digits(count)):
            value = formula()
            nearest = value.to_integral_value()
            before = max(value.adjusted(), 0) if value else 0
            behind = count - GUARD - before  # digits behind the point that hold
            if behind > 0 and abs(value - nearest) > Decimal(10) ** -behind:
                return int(value.to_integral_value(rounding))
            if behind > 0 and count > MOST:
                return int(nearest)
        count *= 2


def real(name: str, formula: Formula) -> float:
    """The value of `formula` as a float; SpecError where no float holds it."""
    with decimal.localcontext(digits()):
        return held(name, formula())


def held(name: str, value: Decimal | Fraction | float) -> float:
    """`value` as a float; SpecError with its log10 where it is too large for one, or too small.

    Too small are numbers below 2.2e-308, where floats lose digits before they end in 0.
    """
    with decimal.localcontext(digits()):
        if isinstance(value, Fraction):
            value = Decimal(value.numerator) / value.denominator
        size = abs(Decimal(value))
        if size == 0 or sys.float_info.min <= size <= sys.float_info.max:
            return float(value)
        if not size.is_finite():
            raise SpecError(f"{name} is not finite for these arguments")
        bound = "more" if size > 1 else "less"
        limit = "1e308" if size > 1 else "1e-307"
        raise SpecError(
            f"{name} is {bound} than a float holds ({limit}) for these arguments: "
            f"its log10 is {float(size.log10()):.9g}"
        )


def log1p(x: Decimal) -> Decimal:
    """ln(1 + x) with all digits, however small x is."""
    with decimal.localcontext() as context:
        context.prec += max(0, -x.adjusted()) if x else 0
        value = (1 + x).ln()
    return +value


def expm1(x: Decimal) -> Decimal:
    """e^x - 1 with all digits, however small x is."""
    with decimal.localcontext() as context:
        context.prec += max(0, -x.adjusted()) if x else 0
        value = x.exp() - 1
    return +value
