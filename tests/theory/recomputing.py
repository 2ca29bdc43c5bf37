"""Numbers of 50 digits beside those of the library, and inputs of every size."""

from __future__ import annotations

import math
import random
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import mpmath
from mpmath import mpf

from prunekit.errors import SpecError
from prunekit.theory import VacuousBound

mpmath.mp.dps = 50
RANDOM = 1000
TINY, LARGE = sys.float_info.min, sys.float_info.max


def spread(rng: random.Random, low: float, high: float) -> float:
    """A float between `low` and `high`, all orders of magnitude alike."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def said(function: Callable[..., Any], *given: Any) -> tuple[Any, bool]:
    """What a calculator returns, or its SpecError; and whether it warned of a vacuous bound."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = function(*given)
        except SpecError as error:
            found = error
    assert not isinstance(found, SpecError) or len(str(found)) < 300
    assert {warning.category for warning in caught} <= {VacuousBound}
    return found, bool(caught)


def same(found: Any, wanted: Any, relative: float = 1e-12) -> None:
    """Fail unless `found` has the wanted numbers; a number of many is wanted up to the largest."""
    if isinstance(wanted, Mapping):
        for name, value in wanted.items():
            assert name in found
            same(found[name], value, relative)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, value in zip(found, wanted):
            same(one, value, relative)
    else:
        assert abs(mpf(found) - wanted) <= relative * abs(wanted) + mpf(5e-324), (found, wanted)


def fits(wanted: Mapping[str, Any]) -> bool:
    """Whether floats hold all of these numbers with all their digits."""
    return all(x == 0 or TINY <= abs(x) <= LARGE for x in map(mpf, wanted.values()))


def checked(
    wanted: Mapping[str, Any], vacuous: bool, function: Callable[..., Any], *given: Any,
    relative: float = 1e-12,
) -> None:  # fmt: skip
    """Fail unless a calculator gives what is wanted, refuses what no float holds, and warns.

    One number is wanted under the name "".
    """
    found, warned = said(function, *given)
    if not fits(wanted):
        assert isinstance(found, SpecError), (found, wanted)
        return
    assert not isinstance(found, SpecError), found
    same({"": found} if "" in wanted else found, wanted, relative)
    assert warned == vacuous, (found, wanted)
