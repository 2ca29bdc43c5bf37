"""Where a formula of a paper is defined, and when what it says says nothing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from prunekit.errors import SpecError

Floats = npt.NDArray[np.float64]


class VacuousBound(UserWarning):
    """A bound that says nothing: a probability <= 0, or an error that zeros would keep too."""


def vacuous(holds: bool, message: str, depth: int = 1) -> None:
    """Warn with VacuousBound where `holds`, in the name of the bound's caller.

    depth: calls between the bound and this one, this one included.
    """
    if holds:
        warnings.warn(message, VacuousBound, stacklevel=2 + depth)


def refuse(name: str, value: Any, domain: str) -> SpecError:
    """The error for an argument outside its domain."""
    return SpecError(f"{name} must {domain}: {value!r}")


def number(value: Any) -> bool:
    """Whether `value` is a finite real number (a bool is none)."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return False
    return isinstance(value, int) or math.isfinite(value)


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
    """SpecError unless each value is an int >= `low`."""
    for name, value in values.items():
        if not (number(value) and isinstance(value, int | np.integer) and value >= low):
            raise refuse(name, value, f"be an int >= {low}")


def one_of(choices: Any, **values: Any) -> None:
    """SpecError unless each value is one of the Literal `choices`."""
    names = get_args(choices)
    for name, value in values.items():
        if value not in names:
            raise refuse(name, value, f"be one of {', '.join(names)}")


def array(name: str, value: Any, ndim: int | None = None) -> Floats:
    """`value` (nested lists, an array or a tensor) as float64; finite, not empty.

    ndim: its axes; any number if None.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()  # numpy knows no bfloat16
    try:
        values = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        axes = "" if ndim is None else f" on {ndim} axes"
        raise refuse(name, value, f"hold numbers{axes}, of equal lengths") from None
    if ndim not in (None, values.ndim) or values.size == 0:
        axes = "its" if ndim is None else str(ndim)
        raise refuse(name, values.shape, f"have {axes} axes and at least one entry; its shape is")
    if not np.isfinite(values).all():
        raise refuse(name, "NaN or infinity", "hold finite numbers")
    return values


def same_length(**arrays: Any) -> None:
    """SpecError unless all have one length."""
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        text = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise SpecError(f"{' and '.join(lengths)} must have one length: {text}")


def golden(gamma: float) -> None:
    """SpecError unless 1/phi <= gamma < 1: below, halving intervals leave gaps (Lemma 9)."""
    if not (number(gamma) and (math.sqrt(5) - 1) / 2 <= gamma < 1):
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
