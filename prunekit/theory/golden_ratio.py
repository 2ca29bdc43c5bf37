"""Weights from golden-ratio pieces: lemmas 9, 18, 28 and 29 of Logarithmic Pruning.

Orseau, Hutter & Rivasplata, NeurIPS 2020, https://arxiv.org/abs/2006.12156. Letters: gamma in
[1/phi, 1) shrinks the intervals (gamma^{i+1}, gamma^i] w_max, one sample in each of k of them
builds any weight from below to within eps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from prunekit.theory.domain import (
    array,
    at_least,
    between,
    calculator,
    golden,
    one_of,
    positive,
    probability,
    refuse,
    same_length,
    whole,
)
from prunekit.theory.exact import ceiling, digits, exact, held, real

Numbers = float | Sequence[float]
Repaired = Literal["printed", "corrected"]
Tightened = Literal["printed", "tight"]
ROUNDING = Decimal("1e-12")
"""By how much of itself a sample may leave its interval: floats of gamma^i do."""
EDGE = 1200
"""Digits of gamma^i w_max where it equals a float, and more."""


@calculator
def golden_ratio_samples(
    eps: float, delta: float, gamma: float = 2 / 3, w_max: float = 1.0
) -> dict[str, Any]:
    """How many draws fill every interval that a weight needs (D, Lemma 9 and Corollary 10).

    k = ceil(log_gamma(eps/w_max)) intervals, k' = 1 + log_gamma(eps/w_max), m = ceil(k' ln(k'/
    delta)) draws from the density c/v on [gamma^2 eps, gamma w_max], c = 1/ln(w_max/(gamma eps)).
    eps: accuracy of the weight, <= w_max
    delta: largest probability that an interval stays empty
    gamma: ratio of the intervals, in [1/phi, 1)
    w_max: largest weight
    """
    positive(eps=eps, w_max=w_max)
    probability(delta=delta)
    golden(gamma)
    if eps > w_max:
        raise refuse("eps", eps, f"lie in (0, w_max], w_max = {w_max}")
    e, d, g, w = exact(eps, delta, gamma, w_max)

    def steps() -> Decimal:
        return (e / w).ln() / g.ln()

    return {
        "kprime": real("kprime", lambda: 1 + steps()),
        "k": ceiling(steps),
        "m": ceiling(lambda: (1 + steps()) * ((1 + steps()) / d).ln()),
        "support": [real("support", lambda: g * g * e), real("support", lambda: g * w)],
        "c": real("c", lambda: 1 / (w / (g * e)).ln()),
    }


@calculator
def golden_ratio_fill_probability(k: int, kp: float, m: int) -> float:
    """Probability that m draws hit all k intervals, each of mass 1/k' (D, Lemma 9; exact).

    sum_j (-1)^j C(k, j) (1 - j/k')^m, with as many digits as the alternating sum cancels.
    k: intervals
    kp: k', one over the mass of an interval; >= k
    m: draws
    """
    whole(1, k=k)
    whole(0, m=m)
    at_least(k, kp=kp)
    if m < k:
        return 0.0
    count = 40 + k // 3
    while True:
        with localcontext(digits(count)):
            total = alternating(k, Decimal(kp), m)
            if total.adjusted() > k // 3 + 30 - count:  # 30 digits are left
                return held("golden_ratio_fill_probability", total)
        count *= 2


def alternating(k: int, kp: Decimal, m: int) -> Decimal:
    """The sum, in the digits of the context; no term exceeds C(k, k/2) < 10^(k/3)."""
    total, ways = Decimal(0), 1
    for j in range(k + 1):
        total += (-1) ** j * ways * (1 - j / kp) ** m
        ways = ways * (k - j) // (j + 1)
    return total


@calculator
def fill_categories_samples(c: float, n: int, k: int, delta: float) -> int:
    """Draws after which each of k categories of mass >= c has n samples (D, Lemma 29).

    ceil((2/c)(n + ln(k/delta))). The printed c <= 1/2 is not needed (D8).
    c: least mass of a category, in (0, 1]
    n: samples wanted in each
    k: categories
    delta: largest probability of failing
    """
    whole(1, n=n, k=k)
    probability(delta=delta)
    positive(c=c)
    between(0, 1, c=c)
    p, d = exact(c, delta)
    return ceiling(lambda: 2 / p * (n + (k / d).ln()))


@calculator
def positive_sequence_bound(
    a: Sequence[float], b: Sequence[float], x0: float, tau: float, form: Repaired = "corrected"
) -> float:
    """Bound on x_T where x_t <= a_t x_{t-1} + b_t (D, Lemma 18).

    e (x0 + c) prod of the a_t >= 1 + 1/tau. c is printed as min{tau max b, max b_t/(a_t - 1)},
    which is too small where some a_t < 1 (D3); corrected max b_t/max(1/tau, a_t - 1).
    a: factors, >= 0
    b: what is added, >= 0
    x0: where the sequence begins, >= 0
    tau: > 0; at most tau of the factors may lie below 1 + 1/tau
    """
    factors, added = sequences(a, b)
    at_least(0, x0=x0)
    positive(tau=tau)
    one_of(Repaired, form=form)
    t = Fraction(tau)
    large = [factor for factor in factors if t * (factor - 1) >= 1]
    small = len(factors) - len(large)
    if small > tau:
        raise refuse("tau", tau, f"be at least the number of a_t < 1 + 1/tau, which is {small}")
    pairs = list(zip(factors, added))
    if form == "corrected":
        c = max(b_t / max(1 / t, a_t - 1) for a_t, b_t in pairs)
    elif 1 in factors:  # b_t/(a_t - 1) is infinite
        c = t * max(added)
    else:
        c = min(t * max(added), max(b_t / (a_t - 1) for a_t, b_t in pairs))
    with localcontext(digits()):
        start = Fraction(x0) + c
        bound = Decimal(1).exp() * start.numerator / start.denominator * product(large)
    return held("positive_sequence_bound", bound)


def sequences(a: Any, b: Any) -> tuple[list[Fraction], list[Fraction]]:
    """a and b as fractions; SpecError unless both hold numbers >= 0 and are of one length."""
    factors, added = array("a", a, 1), array("b", b, 1)
    same_length(a=factors, b=added)
    at_least(0, **{"min(a)": float(factors.min()), "min(b)": float(added.min())})
    return [Fraction(x) for x in factors.tolist()], [Fraction(x) for x in added.tolist()]


def product(factors: Sequence[Fraction]) -> Decimal:
    """Their product, in the digits of the context."""
    return math.prod((Decimal(x.numerator) / x.denominator for x in factors), start=Decimal(1))


@calculator
def layer_recursion_bound(
    a: Sequence[float], b: Sequence[float], form: Tightened = "tight"
) -> float:
    """Bound on x_T where x_t <= a_t x_{t-1} + b_t and x_0 = 0 (D, Corollary 27).

    e T max(b) prod max(1, a_t); unrolling shows that e is not needed (D2), `tight` drops it.
    a: factors, >= 0
    b: what is added, >= 0
    """
    factors, added = sequences(a, b)
    one_of(Tightened, form=form)
    with localcontext(digits()):
        e = Decimal(1).exp() if form == "printed" else 1
        bound = (
            e * len(factors) * product([max(added), *(max(a_t, Fraction(1)) for a_t in factors)])
        )
    return held("layer_recursion_bound", bound)


@calculator
def hyperbolic_icdf(u: Numbers, alpha: float, beta: float) -> Numbers:
    """Values of the density 1/(v ln(beta/alpha)) on [alpha, beta] from uniform u (D, Remark 11).

    alpha (beta/alpha)^u.
    u: uniform draws in [0, 1]
    alpha: least value, > 0
    beta: largest value, > alpha
    """
    support(alpha, beta)
    draws = array("u", u)
    between(0, 1, **{"min(u)": float(draws.min()), "max(u)": float(draws.max())})
    values: Numbers = (
        (float(alpha) ** (1 - draws) * float(beta) ** draws).clip(alpha, beta).tolist()
    )
    return values


@calculator
def product_weight_density(w: Numbers, alpha: float, beta: float) -> dict[str, Numbers]:
    """Density and distribution of the product of two hyperbolic magnitudes (D, Lemma 28; exact).

    ln w is triangular on [2 ln alpha, 2 ln beta]: with c = 1/ln(beta/alpha) and u = 2c(ln w -
    ln alpha beta), pdf (c/w) max(0, 1 - |u|/2). The pdf is >= c/(2w) on the middle half of ln w,
    which holds 3/4 of the mass ("half of the time" is misprinted, D8).
    w: values > 0
    alpha: least factor, > 0
    beta: largest factor, > alpha
    """
    support(alpha, beta)
    values = array("w", w)
    positive(**{"min(w)": float(values.min())})
    with localcontext(digits()):
        pairs = [density(Decimal(x), *exact(alpha, beta)) for x in values.reshape(-1).tolist()]
    pdf, cdf = (np.reshape(column, values.shape).tolist() for column in zip(*pairs))
    return {"pdf": pdf, "cdf": cdf}


def density(w: Decimal, alpha: Decimal, beta: Decimal) -> tuple[float, float]:
    """(pdf, cdf) of the product at w, from the nearer end: alpha^2 or beta^2."""
    c, low = 1 / (beta / alpha).ln(), w <= alpha * beta
    end = w / (alpha * alpha) if low else beta * beta / w
    near = c * max(end, Decimal(1)).ln()  # 1 - |u|/2, in [0, 1]
    cdf = near**2 / 2 if low else 1 - near**2 / 2
    return held("pdf", c / w * near), held("cdf", cdf)


def support(alpha: float, beta: float) -> None:
    """SpecError unless 0 < alpha < beta."""
    positive(alpha=alpha, beta=beta)
    if alpha >= beta:
        raise refuse("alpha", alpha, f"be < beta = {beta}")


@calculator
def golden_ratio_decompose(
    w: float, v: Sequence[float], gamma: float = 2 / 3, w_max: float = 1.0
) -> dict[str, Any]:
    """Build w from below by greedy subtraction (D, Lemma 9): which v_i are kept, and their sum.

    For i = 1..k: where the rest is >= gamma^i w_max, keep v_i. The rest ends <= gamma^k w_max.
    w: the weight, in [0, w_max]
    v: one sample in each interval (gamma^{i+1}, gamma^i] w_max, i = 1..k
    gamma: ratio of the intervals, in [1/phi, 1)
    w_max: largest weight
    """
    positive(w_max=w_max)
    golden(gamma)
    between(0, w_max, w=w)
    samples = array("v", v, 1).tolist()
    mask = []
    with localcontext(digits(EDGE)):
        g, high, rest = exact(gamma, w_max, w)
        for i, sample in enumerate(map(Decimal, samples)):
            high, low = g * high, g * g * high
            if not low * (1 - ROUNDING) < sample <= high * (1 + ROUNDING):
                domain = f"lie in ({float(low):.6g}, {float(high):.6g}], interval {i + 1}"
                raise refuse(f"v[{i}]", float(sample), domain)
            mask.append(int(rest >= high))
            rest -= mask[-1] * sample
        return {"mask": mask, "approx": held("approx", Decimal(w) - rest)}


@calculator
def anytime_density(v: float, gamma: float = 2 / 3, form: Repaired = "corrected") -> float:
    """Density on (0, gamma] that serves every eps at once (D, Remark 12).

    ln(1/gamma)/(v ln^2 v): interval i then has mass 1/(i(i+1)). Printed with ln(1/v) instead, which
    no factor normalises (D8).
    v: a value in (0, gamma]
    gamma: ratio of the intervals, in [1/phi, 1)
    """
    golden(gamma)
    positive(v=v)
    between(0, gamma, v=v)
    one_of(Repaired, form=form)
    above = -math.log(v) if form == "printed" else -math.log(gamma)
    return above / math.log(v) ** 2 / v


@calculator
def unknown_w_max_factor(w_max: float) -> int:
    """How many times the samples where w_max is not known (D, Remark 14); <= 4 w_max if >= 1/2.

    Every 2^{j+1}-th sample is drawn for w_max = 2^j; the first j with 2^j >= w_max serves.
    w_max: largest weight, which the sampler does not know
    """
    positive(w_max=w_max)
    return 2 << (math.ceil(w_max) - 1).bit_length()
