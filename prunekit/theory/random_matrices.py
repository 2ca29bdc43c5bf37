"""Norms of random matrices and moments of their entries: lemmas 1-4 of paper B, and Table 2.

Qian & Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import numpy as np

from prunekit.theory.domain import (
    Floats,
    array,
    at_least,
    calculator,
    one_of,
    positive,
    probability,
    refuse,
    vacuous,
    whole,
)
from prunekit.theory.exact import exact, held, real
from prunekit.theory.factorials import digits_of, ln_gamma

Repaired = Literal["printed", "corrected"]


@calculator
def uniform_order_statistic_moment(n: int, r: int, a: float, p: int) -> float:
    """E X_(r)^p of the r-th smallest of n squares X = U^2, U from U[-a, a] (B, Lemma 1; exact).

    a^{2p} prod_{j < 2p} (r + j)/(n + 1 + j).
    n: draws
    r: rank, 1 is the smallest
    a: largest |U|
    p: which moment of the square
    """
    whole(1, n=n, r=r)
    whole(0, p=p)
    positive(a=a)
    if r > n:
        raise refuse("r", r, f"lie in 1, ..., n = {n}")
    with digits_of(n, p):
        above = ln_gamma(r + 2 * p) - ln_gamma(r)
        below = ln_gamma(n + 1 + 2 * p) - ln_gamma(n + 1)
        return held("the moment", (2 * p * Decimal(a).ln() + above - below).exp())


@calculator
def latala_rhs(var: Sequence[Sequence[float]], fourth: Sequence[Sequence[float]]) -> float:
    """Latala's bound on E|A| without its constant C, for independent entries (B, Lemma 4).

    max row sqrt(sum var) + max column sqrt(sum var) + (sum fourth)^{1/4}.
    var: variance of each entry
    fourth: fourth moment of each entry, at least the square of its variance
    """
    second, moments = array("var", var, 2), array("fourth", fourth, 2)
    at_least(0, **{"min(var)": float(second.min()), "min(fourth)": float(moments.min())})
    if second.shape != moments.shape:
        raise refuse("fourth", moments.shape, f"have var's shape {second.shape}; its shape is")
    least = np.sqrt(moments) < second * (1 - 1e-9)
    if least.any():
        raise refuse("fourth", float(moments[least][0]), "be at least the square of its variance")
    sides = (largest_sum(second, axis, 2) for axis in (0, 1))
    return sum(sides) + largest_sum(moments, None, 4)


def largest_sum(values: Floats, axis: int | None, order: int) -> float:
    """The largest sum of `values` >= 0 along an axis, or of all, to the power 1/order."""
    most = float(values.max()) or 1.0
    return float(most ** (1 / order) * (values / most).sum(axis).max() ** (1 / order))


@calculator
def latala_constant_floor(n: int) -> float:
    """What C of Lemma 4 must be at least, by a 1 x n row of random signs (B7): -> 1 as n grows.

    sqrt(n)/(sqrt(n) + 1 + n^{1/4}): the 0.6 of Table 3 is no constant for all matrices.
    n: entries of the row
    """
    whole(1, n=n)
    return math.sqrt(n) / (math.sqrt(n) + 1 + n**0.25)


@calculator
def spectral_delta0(q: float, n: int) -> float:
    """delta_0 of Lemma 3 from a quantile: -ln((1 - q)/2)/(4n) (B, Table 2).

    It speaks of the n at which the quantile was measured only; uniform_norm_tail's is proved.
    q: the quantile's level, in (0, 1)
    n: the larger of both widths
    """
    probability(q=q)
    whole(1, n=n)
    return real("delta_0", lambda: -((1 - Decimal(q)) / 2).ln() / (4 * n))


@calculator
def spectral_norm_asymptote(n1: int, n2: int, K: float = 1.0) -> float:
    """Limit of |W| for weights from U[-K/sqrt(max), K/sqrt(max)]: K(sqrt n1 + sqrt n2)/sqrt(3 max).

    No bound: |W| of 200 x 200 is above it with probability .1, see uniform_norm_tail.
    n1: rows
    n2: columns
    K: scale of the weights
    """
    whole(1, n1=n1, n2=n2)
    positive(K=K)
    return K * ((1 + math.sqrt(min(n1, n2) / max(n1, n2))) / math.sqrt(3))


@calculator
def magnitude_norm_gap(
    d: int, alpha: float, K: float = 1.0, C_latala: float = 1.0, form: Repaired = "corrected"
) -> float:
    """Bound on E|W - W*| for W* pruned by magnitude (B, proof of Theorem 1).

    Printed CK(2 sqrt 2 + 24^{1/4}) d^{-2 alpha}, though the entries depend on each other; given the
    (r+1)-th order statistic they do not: corrected 2CK(2/sqrt 3 + 5^{-1/4}) d^{-2 alpha} (B4).
    d: width
    alpha: what is pruned, in (0, 1)
    K: scale of the weights
    C_latala: constant of Lemma 4
    """
    whole(1, d=d)
    probability(alpha=alpha)
    positive(K=K, C_latala=C_latala)
    one_of(Repaired, form=form)
    printed, corrected = 2 * math.sqrt(2) + 24**0.25, 2 * (2 / math.sqrt(3) + 5**-0.25)
    constant = Decimal(printed if form == "printed" else corrected)

    def gap() -> Decimal:
        C, scale, exponent = exact(C_latala, K, alpha)
        return C * scale * constant * Decimal(d) ** (-2 * exponent)

    bound, whole_matrix = real("the gap", gap), K * math.sqrt(math.pi / 2)
    vacuous(bound >= whole_matrix, f"{bound:.4g}, and E|W| itself is at most {whole_matrix:.4g}")
    return bound


def last_layer_norm(rng: np.random.Generator, p: int, d: int, dl: int) -> float:
    """|W_l| of one dense last layer after maps of p x p: variance 1/(p^2 d), about 1 (B6).

    p: rows and columns of the maps
    d: their channels
    dl: outputs
    """
    whole(1, p=p, d=d, dl=dl)
    entries = rng.standard_normal((dl, d * p * p)) / (p * math.sqrt(d))
    return float(np.linalg.norm(entries, 2))
