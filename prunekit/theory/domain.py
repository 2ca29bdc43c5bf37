"""The door of every public calculator: what it takes, where a formula is defined, what it gives.

`calculator` turns what is given into Python's own numbers; `positive`, `whole` and the like refuse
what lies outside a formula's domain; `vacuous` warns of a bound that says nothing. How floats are
read where a floor, a ceiling or a power must be exact stands in `exact`.
"""

from __future__ import annotations

import decimal
import functools
import math
import sys
import warnings
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, ParamSpec, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from prunekit.errors import SpecError

Floats = npt.NDArray[np.float64]


class VacuousBound(UserWarning):
    """A bound that says nothing: a probability <= 0, or an error that zeros would keep too."""


def vacuous(holds: bool, message: str, depth: int = 1) -> None:
    """Warn with VacuousBound where `holds`, in the name of who called from outside this package.

    depth: calls between the calculator and this one, this one included.
    """
    if not holds:
        return
    level = 1 + depth
    while sys._getframe(level - 1).f_globals.get("__name__", "").startswith("prunekit.theory."):
        level += 1
    warnings.warn(message, VacuousBound, stacklevel=level)


P = ParamSpec("P")
T = TypeVar("T")


def calculator(function: Callable[P, T]) -> Callable[P, T]:
    """The door of a public calculator: same values in, whatever type they came in.

    What is given becomes what `plain` says. A result that no float holds is refused by name: inf
    or NaN, unless its log10 stands beside it (`log10_d_min` beside `d_min`).
    """

    @functools.wraps(function)
    def door(*args: P.args, **kwargs: P.kwargs) -> T:
        given: Any = [plain(value) for value in args]
        named: Any = {name: plain(value) for name, value in kwargs.items()}
        try:
            with np.errstate(all="ignore"):  # inf and NaN are refused below
                result = function(*given, **named)
        except (OverflowError, decimal.DecimalException):
            raise past_floats(function.__name__) from None
        finite(function.__name__, result)
        return result

    return door


def plain(value: Any) -> Any:
    """`value` in Python's own numbers.

    NumPy's and torch's scalars and their arrays without axes become int, float or bool, those of
    one axis lists, tuples lists too; Fraction and Decimal the nearest float. Arrays of more axes,
    modules and all else stay as they are.
    """
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating | Fraction | Decimal):
        return float(value)
    if isinstance(value, list | tuple | range):
        return [plain(item) for item in value]
    if hasattr(value, "detach"):
        value = value.detach()
        return plain(value.tolist()) if value.ndim < 2 else value
    if hasattr(value, "__array__"):
        return plain(np.asarray(value).tolist()) if np.ndim(value) < 2 else value
    return value


def finite(name: str, result: Any) -> None:
    """SpecError where a number of `result` is inf or NaN and no log10 of it stands beside it."""
    if isinstance(result, dict):
        for key, item in result.items():
            if f"log10_{key}" not in result:
                finite(f"{key} of {name}", item)
    elif isinstance(result, list | tuple):
        for item in result:
            finite(name, item)
    elif isinstance(result, float | np.ndarray) and not np.isfinite(result).all():
        raise past_floats(name)


def past_floats(name: str) -> SpecError:
    """The error for a result that is inf, NaN, or an intermediate value that is."""
    return SpecError(f"{name} passes what a float holds (1e308) for these arguments")


def refuse(name: str, value: Any, domain: str) -> SpecError:
    """The error for an argument outside its domain, on one line."""
    large = isinstance(value, int) and value.bit_length() > 300
    text = f"about 1e{int(math.log10(abs(value)))}" if large else " ".join(repr(value).split())
    return SpecError(f"{name} must {domain}: {text if len(text) <= 120 else text[:117] + '...'}")


def real(value: Any) -> bool:
    """Whether `value` has the type of a real number (a bool has not)."""
    return isinstance(value, int | float | np.integer | np.floating) and type(value) is not bool


def number(value: Any) -> bool:
    """Whether `value` is a real number that a float holds."""
    try:
        return real(value) and math.isfinite(value)
    except OverflowError:  # an int above 1e308
        return False


def positive(**values: Any) -> None:
    """SpecError unless each value is a finite number > 0."""
    for name, value in values.items():
        if not (number(value) and value > 0):
            raise refuse(name, value, "be a finite number > 0")


def at_least(low: float, **values: Any) -> None:
    """SpecError unless each value is a finite number >= `low`."""
    for name, value in values.items():
        if not (number(value) and value >= low):
            raise refuse(name, value, f"be a finite number >= {low}")


def between(low: float, high: float, **values: Any) -> None:
    """SpecError unless each value lies in [`low`, `high`]."""
    for name, value in values.items():
        if not (number(value) and low <= value <= high):
            raise refuse(name, value, f"lie in [{low:.6g}, {high:.6g}]")


def probability(**values: Any) -> None:
    """SpecError unless each value lies in (0, 1)."""
    for name, value in values.items():
        if not (number(value) and 0 < value < 1):
            raise refuse(name, value, "lie in (0, 1)")


def whole(low: int, **values: Any) -> None:
    """SpecError unless each value is an int >= `low`, and below 1e308; 3.0 is no int here."""
    for name, value in values.items():
        if real(value) and isinstance(value, int) and value > low and not number(value):
            raise refuse(name, value, "be below 1e308")
        if not (number(value) and isinstance(value, int | np.integer) and value >= low):
            raise refuse(name, value, f"be an int >= {low}")


def one_of(choices: Any, **values: Any) -> None:
    """SpecError unless each value is one of the Literal `choices`."""
    names = get_args(choices)
    for name, value in values.items():
        if not (isinstance(value, str) and value in names):
            raise refuse(name, value, f"be one of {', '.join(names)}")


def listed(name: str, value: Any) -> list[Any]:
    """`value` if it is a list of numbers on one axis (see `plain`); SpecError otherwise."""
    if not isinstance(value, list):
        raise refuse(name, value, "be a list of numbers")
    return value


def array(name: str, value: Any, ndim: int | None = None) -> Floats:
    """`value` (nested lists, an array or a tensor) as float64; finite, not empty.

    ndim: its axes; any number if None.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.double().numpy() if value.is_floating_point() else value.numpy()
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "iufO" or not all(map(real, entries(value))):
            raise TypeError
        values = given.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        axes = "" if ndim is None else f" on {ndim} axes"
        raise refuse(name, value, f"hold numbers{axes}, of equal lengths") from None
    if ndim not in (None, values.ndim) or values.size == 0:
        axes = "its" if ndim is None else str(ndim)
        raise refuse(name, values.shape, f"have {axes} axes and at least one entry; its shape is")
    if not np.isfinite(values).all():
        raise refuse(name, "NaN or infinity", "hold finite numbers")
    return values


def entries(value: Any) -> Iterable[Any]:
    """The entries of nested lists; none of an array, whose dtype says what they are."""
    if isinstance(value, list):
        return (entry for item in value for entry in entries(item))
    typed = isinstance(value, np.ndarray) and value.dtype.kind != "O"
    return () if typed or hasattr(value, "detach") else [value]


def same_length(**arrays: Any) -> None:
    """SpecError unless all have one length."""
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        text = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise SpecError(f"{' and '.join(lengths)} must have one length: {text}")


def golden(gamma: float) -> None:
    """SpecError unless 1/phi <= gamma < 1: below, halving intervals leave gaps (Lemma 9).

    Floats next to 1/phi pass: 1/((1 + sqrt 5)/2) comes out 6e-17 below it.
    """
    if not (number(gamma) and (math.sqrt(5) - 1) / 2 * (1 - 1e-12) <= gamma < 1):
        raise refuse("gamma", gamma, "lie in [0.618034, 1), which begins at 1/phi")


def ceil_ratio(above: Iterable[float], below: Iterable[float] = ()) -> int:
    """The product of `above` over that of `below`, rounded up; exact where floats overflow."""
    above, below = list(above), list(below)
    bottom = math.prod(map(float, below))
    value = math.prod(map(float, above)) / bottom if bottom else math.inf
    if 0 < value < math.inf:
        return math.ceil(value)
    top, base = (math.prod(map(Fraction, factors), start=Fraction(1)) for factors in (above, below))
    return math.ceil(top / base)


def log10(value: float) -> float:
    """log10 of a number >= 0, also of an int that no float holds."""
    return math.log10(value) if value > 0 else -math.inf


def power(base: float, exponent: float) -> tuple[float, float]:
    """(base ** exponent, its log10) for base > 0; the first is inf where no float holds it."""
    digits = exponent * math.log10(base)
    return (base**exponent if digits < 308 else math.inf), digits
