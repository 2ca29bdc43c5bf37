"""How a mean and its spread are rounded, in every table and figure.

By the rule of the Particle Data Group (Review of Particle Physics, 2024, section 5.3): where the
first three digits of the standard deviation are 100 to 354 it keeps two digits, from 355 to 949
one, and from 950 on it becomes 1000 and keeps two. The mean ends at the same place.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal

LONE = 4
"""Significant digits of a number without a spread."""
TINY, HUGE = -6, 15
"""Powers of ten outside of which numbers are written with an exponent."""


def rounded(mean: float, std: float | None) -> tuple[str, str | None]:
    """A mean and its standard deviation as text, both to the place that the latter allows.

    std: None where there is one value, which keeps four digits; an int keeps all of them.
    """
    if std is None or not (math.isfinite(mean) and math.isfinite(std)) or std == 0:
        return lone(mean), None if std is None else lone(std)
    place = place_of(std)
    if not TINY <= place <= HUGE or _power(mean) > HUGE:
        return f"{mean:.{min(max(0, _power(mean) - place), 16)}e}", f"{std:.1e}"
    return _to(mean, place), _to(std, place)


def place_of(std: float) -> int:
    """The power of ten at which a finite standard deviation > 0 ends: 0.0123 -> -3."""
    digits, power = f"{std:.2e}".split("e")
    first = int(digits.replace(".", ""))
    return int(power) - (first < 355)


def _power(value: float) -> int:
    """The power of ten of the first digit; 0 for 0."""
    return int(f"{value:e}".split("e")[1]) if value else 0


def _to(value: float, place: int) -> str:
    """A number rounded to a power of ten, digits written out."""
    kept = Decimal(repr(value)).quantize(Decimal(1).scaleb(place), ROUND_HALF_EVEN)
    return f"{kept:f}" if kept else f"{0:.{max(0, -place)}f}"  # no -0.00


def lone(value: float) -> str:
    """A number that has no spread: 12345; 0.1235; nan."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 10**HUGE):
        return str(int(value))
    return f"{value:.{LONE}g}"
