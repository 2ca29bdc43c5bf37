"""ln Gamma in decimals: factorials and binomials of numbers of any size, with all their digits."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from math import comb

from prunekit.theory.exact import DIGITS, digits

HALF_LOG_2PI = Decimal(
    "0.918938533204672741780329736405617639861397473637783412817151540482765695927260397694743"
)
FAR = 200
"""From here on Stirling's series has the digits: its last term is below 1e-60."""
TERMS = 16


def bernoulli(count: int) -> list[Fraction]:
    """B_0, ..., B_{count - 1}."""
    found: list[Fraction] = []
    for n in range(count):
        rest = sum((comb(n + 1, k) * found[k] for k in range(n)), Fraction(0))
        found.append(Fraction(n == 0) - rest / (n + 1))
    return found


SERIES = tuple(
    Fraction(B, 2 * k * (2 * k - 1)) for k, B in enumerate(bernoulli(2 * TERMS + 1)[2::2], start=1)
)
"""Stirling: ln Gamma(x) = (x - 1/2) ln x - x + ln(2 pi)/2 + sum SERIES[k] / x^{2k + 1}."""


@contextmanager
def digits_of(*sizes: int | Decimal) -> Iterator[None]:
    """Decimals so long that ln Gamma of numbers up to `sizes` has DIGITS behind the point."""
    longest = max(Decimal(size).adjusted() for size in sizes)
    with decimal.localcontext(digits(DIGITS + 2 * max(longest, 0) + 5)):
        yield


def ln_gamma(x: Decimal | int) -> Decimal:
    """ln Gamma(x), x > 0, in the digits of the context (of those behind the point, 60)."""
    x, product = Decimal(x), Decimal(1)
    while x < FAR:
        product, x = product * x, x + 1
    series = sum((c.numerator / x ** (2 * k + 1) / c.denominator for k, c in enumerate(SERIES)),
                 Decimal(0))  # fmt: skip
    return (x - Decimal("0.5")) * x.ln() - x + HALF_LOG_2PI + series - product.ln()


def ln_binomial(n: int, k: int) -> Decimal:
    """ln of n over k."""
    return ln_gamma(n + 1) - ln_gamma(k + 1) - ln_gamma(n - k + 1)
