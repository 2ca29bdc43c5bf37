"""Pruning at initialization as sketching: paper C.

Bar & Giryes, "Pruning at Initialization: A Sketching Perspective",
https://arxiv.org/abs/2305.17559. Letters: X (d, n) has one row per feature, w in R^d, y = X^T w,
r_i = |X_i|, s samples. A mask m is real: m_i = count_i/(s p_i). All errors are mean squares,
E|X^T(w o m) - X^T w|^2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from prunekit.errors import SpecError
from prunekit.theory.domain import (
    Floats,
    array,
    one_of,
    positive,
    refuse,
    same_length,
    vacuous,
    whole,
)

Vector = Sequence[float]
Matrix = Sequence[Sequence[float]]
Squared = Literal["printed", "corrected", "exact"]
Transfer = Literal["printed", "corrected", "tight", "exact"]
Uniform = Literal["printed", "exact"]
Kernel = Literal["printed", "tight"]


def features(X: Any, name: str, **vectors: Any) -> tuple[Floats, ...]:
    """X as float64 (d, n), and its vectors as (d,)."""
    matrix = array(name, X, 2)
    arrays = {key: array(key, values, 1) for key, values in vectors.items()}
    same_length(**{name: matrix}, **arrays)
    return matrix, *arrays.values()


def probabilities(matrix: Floats, weights: Floats) -> Floats:
    """p_i = r_i |w_i| over their sum."""
    scores = np.linalg.norm(unit(matrix), axis=1) * np.abs(unit(weights))
    if not scores.sum() > 0:
        raise SpecError("w must have a weight that is not 0 on a row of X that is not 0")
    shares: Floats = scores / scores.sum()
    return shares


def unit(values: Floats) -> Floats:
    """`values` times a power of two, so that the largest is near 1: no square leaves the floats."""
    return np.ldexp(values, -int(np.frexp(np.abs(values).max())[1]))


def sketch_probabilities(X: Matrix, w: Vector) -> list[float]:
    """How likely each weight is to be sampled: r_i |w_i| over their sum (C, eq. 2).

    X: features, one row each
    w: weights
    """
    shares: list[float] = probabilities(*features(X, "X", w=w)).tolist()
    return shares


def sketch_mask(X: Matrix, w: Vector, s: int, seed: int = 0) -> list[float]:
    """A mask of s independent draws, m_i = count_i/(s p_i): at most s entries (C, Algorithm 1).

    A binary mask, or one drawn without replacement, is biased: no lemma covers it.
    X: features, one row each
    w: weights
    s: draws
    seed: of the generator
    """
    whole(1, s=s)
    whole(0, seed=seed)
    p = probabilities(*features(X, "X", w=w))
    counts = np.random.Generator(np.random.Philox(seed)).multinomial(s, p)
    mask: list[float] = np.divide(counts, s * p, out=np.zeros_like(p), where=p > 0).tolist()
    return mask


def sketch_error(X: Matrix, w: Vector, s: int, form: Squared = "corrected") -> float:
    """Mean square error of a sketch of s draws (C, Lemma 4.1; an equality).

    ((sum r_i |w_i|)^2 - |y|^2)/s; printed with |y|, not squared (C1). "exact" is "corrected".
    X: features, one row each
    w: weights
    s: draws
    """
    matrix, weights = features(X, "X", w=w)
    whole(1, s=s)
    one_of(Squared, form=form)
    probabilities(matrix, weights)
    total = float((np.linalg.norm(matrix, axis=1) * np.abs(weights)).sum())
    size = float(np.linalg.norm(weights @ matrix))
    return (total**2 - (size if form == "printed" else size**2)) / s


def sketch_variance(X: Matrix, w_star: Vector, p: Vector, s: int) -> list[float]:
    """Variance of each output of X^T(w* o m), whose mean is X^T w* (C, B.1 and B.2; exact).

    (1/s) sum_k X_ki^2 w*_k^2/p_k - (1/s)(X^T w*)_i^2.
    X: features, one row each
    w_star: weights
    p: probabilities of the draws, which may come from other weights
    s: draws
    """
    matrix, weights, shares = features(X, "X", w_star=w_star, p=p)
    whole(1, s=s)
    if (shares < 0).any() or abs(shares.sum() - 1) > 1e-9:
        raise refuse("p", p, "be probabilities with sum 1")
    terms = matrix * weights[:, None]
    unseen = (shares == 0) & (terms != 0).any(axis=1)
    if unseen.any():
        raise refuse("p", float(shares[unseen][0]), "be > 0 where w_star acts: the mask is biased")
    used = np.where(shares > 0, shares, 1.0)[:, None]
    variances: list[float] = (((terms**2 / used).sum(0) - terms.sum(0) ** 2) / s).tolist()
    return variances


def sketch_transfer_error(
    X: Matrix, X_tilde: Matrix, w0: Vector, w_star: Vector, s: int
) -> dict[str, float]:
    """Error on (X, w*) of a mask drawn for (X~, w0) (C, Lemma 4.3): exact, and as bounded.

    (1/s) sum_k r_k^2 w*_k^2/p_k - |X^T w*|^2/s; the printed bound drops the last term.
    X: features on which the error counts
    X_tilde: features for which the mask is drawn
    w0: weights for which the mask is drawn
    w_star: weights on which it is used
    s: draws
    """
    matrix, start, final = features(X, "X", w0=w0, w_star=w_star)
    known, _ = features(X_tilde, "X_tilde", w0=w0)
    shares = probabilities(known, start).tolist()
    exact = sum(sketch_variance(matrix.tolist(), final.tolist(), shares, s))
    return {"exact": exact, "bound": exact + float(((final @ matrix) ** 2).sum()) / s}


def chi_mean_squared(n: int) -> float:
    """mu_n^2 = (2/n)(Gamma((n+1)/2)/Gamma(n/2))^2 <= 1: the squared mean norm of N(0, I_n)/sqrt n.

    n: dimensions
    """
    whole(1, n=n)
    x = n / 2
    if n < 200:
        return math.exp(2 * (math.lgamma(x + 0.5) - math.lgamma(x))) / x
    series = (1, -1 / 8, 1 / 128, 5 / 1024, -21 / 32768, -399 / 262144)
    return sum(term / x**i for i, term in enumerate(series)) ** 2


def sketch_gaussian_error(w0: Vector, s: int, n: int, form: Squared = "corrected") -> float:
    """Error of a sketch for X from N(0, 1)/sqrt n (C, Lemma 4.2).

    Exact mu_n^2(|w|_1^2 - |w|_2^2)/s. The printed bound |w|_2^2/s has (sum a)^2 <= sum a^2 the
    wrong way round (C2); corrected |w|_1^2/s.
    w0: weights
    s: draws
    n: columns of X
    """
    weights = array("w0", w0, 1)
    whole(1, s=s, n=n)
    one_of(Squared, form=form)
    l1, square = float(np.abs(weights).sum()) ** 2, float((weights**2).sum())
    if l1 == 0:
        raise refuse("w0", list(w0), "hold a weight that is not 0")
    bounds = {
        "printed": square / s,
        "corrected": l1 / s,
        "exact": chi_mean_squared(n) * (l1 - square) / s,
    }[form]
    warn_above(bounds, square, form)
    return bounds


def warn_above(bound: float, trivial: float, form: str) -> None:
    """Warn of a bound (no equality) above |w|^2, the error of a mask that keeps nothing."""
    worse = form != "exact" and bound >= trivial > 0
    vacuous(worse, f"bound {bound:.4g}, and a mask of zeros has error {trivial:.4g}", depth=2)


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
    ratio = float((final[seen] ** 2 / size[seen]).sum())
    l1, square = float(size.sum()), float((final**2).sum())
    change = final - start
    far, near = float((change**2).sum()), 2 * float(np.abs(change).sum()) + l1
    bounds = {
        "printed": l1 / s * (far / float(size.max()) + near),
        "corrected": l1 / s * (far / float(size[seen].min()) + near),
        "tight": l1 / s * ratio,
        "exact": chi_mean_squared(n) / s * (l1 * ratio - square),
    }[form]
    warn_above(bounds, square, form)
    return bounds


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
    square, d = float((weights**2).sum()), len(weights)
    bound = (d if form == "printed" else d - 1) * square / s
    warn_above(bound, square, form)
    return bound


def sum_of_inverse_norms(A: Matrix) -> float:
    """F(A) = sum over columns of 1/|A^(i)|; for a vector give one row (C, Theorem 7.2).

    A: a matrix without a column of zeros
    """
    norms = np.linalg.norm(array("A", A, 2), axis=0)
    if not norms.all():
        raise refuse("A", float(norms.min()), "have no column of zeros; a column's norm is")
    return float((1 / norms).sum())


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
    positive(K=K, l1_theta0=l1_theta0, F_J=F_J, F_theta0=F_theta0, R0=R0, lam_min=lam_min)
    one_of(Kernel, form=form)
    square, linear = (K**4, K**3) if form == "printed" else (K**2, K)
    far = F_theta0 * 9 * square * R0**2 / lam_min**2 + 6 * math.sqrt(d) * linear * R0 / lam_min
    return K**3 * l1_theta0 * F_J * (l1_theta0 + far) / s
