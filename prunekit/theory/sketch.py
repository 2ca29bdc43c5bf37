"""Pruning at initialization as sketching: paper C.

Bar & Giryes, "Pruning at Initialization: A Sketching Perspective",
https://arxiv.org/abs/2305.17559. Letters: X (d, n) has one row per feature, w in R^d, y = X^T w,
r_i = |X_i|, s samples. A mask m is real: m_i = count_i/(s p_i). All errors are mean squares,
E|X^T(w o m) - X^T w|^2. What needs no X, for Gaussian ones and wide networks, is in
`sketch_gaussian`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prunekit.errors import SpecError
from prunekit.theory.domain import (
    Floats,
    array,
    calculator,
    one_of,
    refuse,
    same_length,
    vacuous,
    whole,
)
from prunekit.theory.sketch_gaussian import (
    Squared,
    chi_mean_squared,
    ntk_pruning_bound,
    said,
    sketch_gaussian_error,
    sketch_gaussian_transfer_error,
    sum_of_inverse_norms,
    uniform_mask_error,
)
from prunekit.theory.spread import decimals, in_decimals, row_norms, valued, variances

__all__ = [
    "chi_mean_squared",
    "ntk_pruning_bound",
    "sketch_error",
    "sketch_gaussian_error",
    "sketch_gaussian_transfer_error",
    "sketch_mask",
    "sketch_probabilities",
    "sketch_transfer_error",
    "sketch_variance",
    "sum_of_inverse_norms",
    "uniform_mask_error",
]

Vector = Sequence[float]
Matrix = Sequence[Sequence[float]]


def features(X: Any, name: str, **vectors: Any) -> tuple[Floats, ...]:
    """X as float64 (d, n), and its vectors as (d,)."""
    matrix = array(name, X, 2)
    arrays = {key: array(key, values, 1) for key, values in vectors.items()}
    same_length(**{name: matrix}, **arrays)
    return matrix, *arrays.values()


def probabilities(matrix: Floats, weights: Floats) -> Floats:
    """p_i = r_i |w_i| over their sum; no size of rows or weights leaves the floats."""
    norms, exponents = row_norms(matrix)
    sizes, more = np.frexp(np.abs(weights))
    scores, powers = norms * sizes, exponents + more
    if not scores.any():
        raise SpecError("w must have a weight that is not 0 on a row of X that is not 0")
    scores = np.ldexp(scores, powers - powers[scores > 0].max())
    shares: Floats = scores / scores.sum()
    return shares


@calculator
def sketch_probabilities(X: Matrix, w: Vector) -> list[float]:
    """How likely each weight is to be sampled: r_i |w_i| over their sum (C, eq. 2).

    X: features, one row each
    w: weights
    """
    shares: list[float] = probabilities(*features(X, "X", w=w)).tolist()
    return shares


@calculator
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
    if s >= 2**63:
        raise refuse("s", s, "be below 2^63")
    p = probabilities(*features(X, "X", w=w))
    counts = np.random.Generator(np.random.Philox(seed)).multinomial(s, p)
    mask: list[float] = np.divide(counts, s * p, out=np.zeros_like(p), where=counts > 0).tolist()
    return mask


@calculator
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
    p = probabilities(matrix, weights)
    if form == "printed":
        return valued("the error", misprinted, matrix, weights, over=s)
    return float(variances(matrix, weights, p, lambda: in_decimals(matrix, weights)).sum()) / s


def misprinted(X: Any, w: Any) -> Any:
    """(sum r_i |w_i|)^2 - |y|."""
    total = (np.sqrt((X**2).sum(1)) * np.abs(w)).sum()
    return total**2 - np.sqrt(((X * w[:, None]).sum(0) ** 2).sum(keepdims=True))[0]


@calculator
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
    acting(matrix, weights, shares)
    found = variances(matrix, weights, shares, lambda: decimals(shares))
    return [variance / s for variance in found.tolist()]


def acting(X: Floats, w: Floats, p: Floats) -> None:
    """SpecError where a weight acts that is never drawn."""
    unseen = (p == 0) & (w != 0) & (X != 0).any(axis=1)
    if unseen.any():
        raise refuse("p", float(p[unseen][0]), "be > 0 where w_star acts: the mask is biased")


@calculator
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
    whole(1, s=s)
    known, _ = features(X_tilde, "X_tilde", w0=w0)
    p = probabilities(known, start)
    acting(matrix, final, p)
    error = float(variances(matrix, final, p, lambda: in_decimals(known, start)).sum()) / s
    zeros = float(((final @ matrix) ** 2).sum())
    bound = error + zeros / s
    vacuous(bound >= zeros and bound > 0, said(bound, zeros))
    return {"exact": error, "bound": bound}
