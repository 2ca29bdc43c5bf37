"""Sums of squares that neither leave the floats nor lose their digits where they cancel.

A sketch's variance is a difference, P sum_k t_k^2/p_k - (sum_k t_k)^2 with P = sum p_k, never
negative (Cauchy and Schwarz). It is taken in floats, and in long decimals where those leave fewer
than 13 digits: of parallel rows it is 0, and not a rounding error.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from prunekit.theory.domain import Floats
from prunekit.theory.exact import digits, held

Numbers = Any
"""An array of floats, or of Decimals (dtype object)."""
LONG, LONGEST = 400, 2000
"""Digits that tell from 0 whatever a float can, of ordinary numbers and of all."""


def unit(values: Floats) -> tuple[Floats, int]:
    """(v, e) with v 2^e = values and the largest |v| in [1/2, 1): no square leaves the floats."""
    exponent = int(np.frexp(np.abs(values).max())[1])
    return np.ldexp(values, -exponent), exponent


def row_norms(matrix: Floats) -> tuple[Floats, Any]:
    """(v, e), v 2^e the norms of rows of any size."""
    exponents = np.frexp(np.abs(matrix).max(axis=1))[1]
    return np.linalg.norm(np.ldexp(matrix, -exponents[:, None]), axis=1), exponents


def decimals(values: Floats) -> Numbers:
    """The same numbers as Decimals."""
    found = np.empty(values.shape, dtype=object)
    found.reshape(-1)[:] = [Decimal(value) for value in values.reshape(-1).tolist()]
    return found


def spreads(terms: Numbers, shares: Numbers) -> tuple[Numbers, Numbers]:
    """P sum_k t_k^2/p_k and (sum_k t_k)^2 of each column; terms (d, n), shares p (d,)."""
    seen = shares > 0
    first = (terms[seen] ** 2 / shares[seen][:, None]).sum(0) * shares.sum()
    return first, terms.sum(0) ** 2


def variances(X: Floats, w: Floats, p: Floats, shares: Callable[[], Numbers]) -> Floats:
    """Variance of each output of one draw by p, (n,): `spreads` of t_k = X_ki w_k, subtracted.

    shares: p in decimals, up to a factor.
    """
    with np.errstate(all="ignore"):
        first, second = spreads(X * w[:, None], p)
    found = first - second
    count = LONG if ordinary(X, w, p) else LONGEST
    poor = np.flatnonzero((found < 1e-3 * first) | (count == LONGEST))
    if len(poor):
        with decimal.localcontext(digits(count)):
            terms = decimals(X[:, poor]) * decimals(w)[:, None]
            first, second = spreads(terms, shares())
            nothing = Decimal(10) ** (50 - count)
            rest = [a - b if a - b > a * nothing else Decimal(0) for a, b in zip(first, second)]
            held("the variance", max(rest))  # refused where no float holds the largest
            found[poor] = list(map(float, rest))
    return found


def in_decimals(X: Floats, w: Floats) -> Numbers:
    """r_i |w_i|, the sizes of rows times weights, in decimals."""
    return np.sqrt((decimals(X) ** 2).sum(1)) * np.abs(decimals(w))


def others(sizes: Numbers) -> Numbers:
    """For each entry the sum of all others, without a difference."""
    nothing, before, after = sizes[:1] * 0, np.cumsum(sizes[:-1]), np.cumsum(sizes[:0:-1])[::-1]
    return np.concatenate([nothing, before]) + np.concatenate([after, nothing])


def ordinary(*arrays: Floats) -> bool:
    """Whether products of four of the numbers stay within the floats, with all their digits."""
    sizes = (np.abs(values[values != 0]) for values in arrays)
    return all(((size > 1e-70) & (size < 1e70)).all() for size in sizes)


def valued(name: str, formula: Callable[..., Any], *arrays: Floats, over: int = 1) -> float:
    """formula(*arrays)/over in floats, and in decimals where those could over- or underflow."""
    if ordinary(*arrays):
        return held(name, float(formula(*arrays)) / over)
    with decimal.localcontext(digits(LONG)):
        return held(name, formula(*map(decimals, arrays)) / over)
