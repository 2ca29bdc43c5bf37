"""Sketches without their features: for Gaussian X, and for wide networks (paper C).

Bar & Giryes, "Pruning at Initialization: A Sketching Perspective",
https://arxiv.org/abs/2305.17559. Letters as in `sketch`: X (d, n), w in R^d, s draws.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import numpy as np

from prunekit.theory.domain import (
    Floats,
    array,
    at_least,
    calculator,
    one_of,
    positive,
    refuse,
    same_length,
    vacuous,
    whole,
)
from prunekit.theory.exact import digits, exact, held
from prunekit.theory.factorials import digits_of, ln_gamma
from prunekit.theory.spread import others, row_norms, unit, valued

Vector = Sequence[float]
Matrix = Sequence[Sequence[float]]
Squared = Literal["printed", "corrected", "exact"]
Transfer = Literal["printed", "corrected", "tight", "exact"]
Uniform = Literal["printed", "exact"]
Kernel = Literal["printed", "tight"]


@calculator
def chi_mean_squared(n: int) -> float:
    """mu_n^2 = (2/n)(Gamma((n+1)/2)/Gamma(n/2))^2 <= 1: the squared mean norm of N(0, I_n)/sqrt n.

    n: dimensions
    """
    whole(1, n=n)
    with digits_of(n):
        x = Decimal(n) / 2
        return float((2 * (ln_gamma(x + Decimal("0.5")) - ln_gamma(x))).exp() / x)


@calculator
def sketch_gaussian_error(w0: Vector, s: int, n: int, form: Squared = "corrected") -> float:
    """Error of a sketch for X from N(0, 1)/sqrt n (C, Lemma 4.2).

    Exact mu_n^2(|w|_1^2 - |w|_2^2)/s. The printed bound |w|_2^2/s has (sum a)^2 <= sum a^2 the
    wrong way round (C2); corrected |w|_1^2/s.
    w0: weights
    s: draws
    n: columns of X
    """
    size = np.abs(array("w0", w0, 1))
    whole(1, s=s, n=n)
    one_of(Squared, form=form)
    if not size.any():
        raise refuse("w0", list(w0), "hold a weight that is not 0")
    formula = {
        "printed": lambda w: (w * w).sum(),
        "corrected": lambda w: w.sum() ** 2,
        "exact": lambda w: (w * others(w)).sum(),
    }[form]
    return compared(valued("the error", formula, size, over=s), size, form, n)


def said(bound: float, zeros: float | Decimal) -> str:
    """What a vacuous bound says, beside the error of a mask that keeps nothing."""
    return f"bound {bound:.4g}, and a mask of zeros has error {zeros:.4g}"


def compared(error: float, size: Floats, form: str, n: int = 1) -> float:
    """An error for n columns, the mean of mu_n^2 if exact; a bound with a warning where it says
    no more than |w|^2, the error of a mask of zeros.
    """
    if form == "exact":
        return chi_mean_squared(n) * error
    weights, exponent = unit(size)
    zeros = float((weights**2).sum())
    worse = math.ldexp(error, -2 * exponent) >= zeros * (1 - 1e-12) > 0  # equal but for rounding
    vacuous(worse, said(error, Decimal(zeros) * Decimal(4) ** exponent), depth=2)
    return error


@calculator
def sketch_gaussian_transfer_error(
    w0: Vector, w_star: Vector, s: int, n: int, form: Transfer = "corrected"
) -> float:
    """Error on w* of a mask drawn for w0, for X from N(0, 1)/sqrt n (C, Theorem 4.4).

    Exact (mu_n^2/s)(|w0|_1 sum w*^2/|w0| - |w*|_2^2); tight |w0|_1/s sum w*^2/|w0|. With D = w* -
    w0, corrected |w0|_1/s (|D|_2^2/min|w0| + 2|D|_1 + |w0|_1); printed divides by max|w0| (C3).
    w0: weights for which the mask is drawn; not 0 where w_star is not
    w_star: weights on which it is used
    s: draws
    n: columns of X
    """
    start, final = array("w0", w0, 1), array("w_star", w_star, 1)
    same_length(w0=start, w_star=final)
    whole(1, s=s, n=n)
    one_of(Transfer, form=form)
    size = np.abs(start)
    if ((size == 0) & (final != 0)).any():
        raise refuse("w0", 0.0, "not be 0 where w_star is not: the mask is biased")
    if not size.any():
        raise refuse("w0", list(w0), "hold a weight that is not 0")
    seen = size > 0
    formula = {
        "printed": lambda a, w: moved(a, w, np.abs(a).max()),
        "corrected": lambda a, w: moved(a, w, np.abs(a).min()),
        "tight": lambda a, w: (w * (w / np.abs(a))).sum() * np.abs(a).sum(),
        "exact": lambda a, w: (w * (w / np.abs(a)) * others(np.abs(a))).sum(),
    }[form]
    error = valued("the error", formula, start[seen], final[seen], over=s)
    return compared(error, np.abs(final), form, n)


def moved(a: Any, w: Any, least: Any) -> Any:
    """|a|_1 (|w - a|_2^2/least + 2 |w - a|_1 + |a|_1)."""
    change, l1 = np.abs(w - a), np.abs(a).sum()
    return l1 * ((change * (change / least)).sum() + 2 * change.sum() + l1)


@calculator
def uniform_mask_error(w_star: Vector, s: int, form: Uniform = "exact") -> float:
    """Error of a mask drawn uniformly, for X from N(0, 1)/sqrt n (C, Lemma 4.5).

    Exact (d - 1)|w*|^2/s; printed d|w*|^2/s. Sketching saves no factor d (C4): the ratio of both
    is mu^2(|w|_1^2 - |w|_2^2)/((d-1)|w|_2^2), about 2/pi for Gaussian weights.
    w_star: weights
    s: draws
    """
    weights = array("w_star", w_star, 1)
    whole(1, s=s)
    one_of(Uniform, form=form)
    count = len(weights) - (form == "exact")
    error = valued("the error", lambda w: (w * w).sum() * count, weights, over=s)
    return error if form == "exact" else compared(error, np.abs(weights), form)


@calculator
def sum_of_inverse_norms(A: Matrix) -> float:
    """F(A) = sum over columns of 1/|A^(i)|; for a vector give one row (C, Theorem 7.2).

    A: a matrix without a column of zeros
    """
    norms, exponents = row_norms(array("A", A, 2).T)
    if not norms.all():
        raise refuse("A", float(norms.min()), "have no column of zeros; a column's norm is")
    return float(np.ldexp(1 / norms, -exponents).sum())


@calculator
def ntk_pruning_bound(
    s: int,
    K: float,
    l1_theta0: float,
    F_J: float,
    F_theta0: float,
    d: int,
    R0: float,
    lam_min: float,
    form: Kernel = "tight",
) -> float:
    """Bound on the error of pruning a wide network that trains like its kernel (C, Theorem 7.2).

    (1/s) K^3 |th0|_1 F(J0) (|th0|_1 + F(th0) 9 K^4 R0^2/lam^2 + 6 sqrt(d) K^3 R0/lam), as printed;
    tight K^2 and K inside, from |th_t - th_0| <= 3 K R0/lam (C5; printed is valid since K > 1).
    s: draws
    K: Lipschitz constant of the Jacobian, > 1
    l1_theta0: |theta_0|_1
    F_J: F of the Jacobian at initialization, see sum_of_inverse_norms
    F_theta0: F of the weights at initialization
    d: weights
    R0: bound on the loss at initialization
    lam_min: least eigenvalue of the kernel
    """
    whole(1, s=s, d=d)
    at_least(1, K=K)
    positive(l1_theta0=l1_theta0, F_J=F_J, F_theta0=F_theta0, R0=R0, lam_min=lam_min)
    one_of(Kernel, form=form)
    power = 3 if form == "printed" else 1

    with decimal.localcontext(digits()):
        lip, l1, J, theta, risk, least = exact(K, l1_theta0, F_J, F_theta0, R0, lam_min)
        far = risk / least
        drift = theta * 9 * lip ** (power + 1) * far**2 + 6 * Decimal(d).sqrt() * lip**power * far
        bound = lip**3 * l1 * J * (l1 + drift) / s
        zeros = (lip * (l1 + 3 * lip * far)) ** 2  # |J_t theta_t|^2 at most
        vacuous(bound > zeros, f"bound {bound:.4g}, and a mask of zeros has at most {zeros:.4g}")
        return held("the bound", bound)
