"""Weights from golden-ratio pieces: lemmas 9, 18, 28 and 29 of Logarithmic Pruning.

Orseau, Hutter & Rivasplata, NeurIPS 2020, https://arxiv.org/abs/2006.12156. Letters: gamma in
[1/phi, 1) shrinks the intervals (gamma^{i+1}, gamma^i] w_max, one sample in each of k of them
builds any weight from below to within eps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from prunekit.theory.domain import (
    array,
    at_least,
    between,
    ceil_ratio,
    golden,
    one_of,
    positive,
    probability,
    refuse,
    same_length,
    whole,
)

Numbers = float | Sequence[float]
Repaired = Literal["printed", "corrected"]
Tightened = Literal["printed", "tight"]


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
    steps = math.log(eps / w_max) / math.log(gamma)
    return {
        "kprime": 1 + steps,
        "k": math.ceil(steps),
        "m": math.ceil((1 + steps) * math.log((1 + steps) / delta)),
        "support": [gamma**2 * eps, gamma * w_max],
        "c": 1 / math.log(w_max / (gamma * eps)),
    }


def golden_ratio_fill_probability(k: int, kp: float, m: int) -> float:
    """Probability that m draws hit all k intervals, each of mass 1/k' (D, Lemma 9; exact).

    sum_j (-1)^j C(k, j) (1 - j/k')^m. Summed over how many are hit so far instead, a power of a
    matrix without negative entries, since the alternating sum cancels.
    k: intervals
    kp: k', one over the mass of an interval; >= k
    m: draws
    """
    whole(1, k=k)
    whole(0, m=m)
    at_least(k, kp=kp)
    new = np.arange(k, -1, -1) / kp  # probability of a new interval after 0, 1, ..., k are hit
    step = np.diag(1 - new) + np.diag(new[:-1], 1)
    return min(1.0, float(np.linalg.matrix_power(step, m)[0, k]))


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
    return ceil_ratio([2, n + math.log(k / delta)], [c])


def positive_sequence_bound(
    a: Sequence[float], b: Sequence[float], x0: float, tau: float, form: Repaired = "corrected"
) -> float:
    """Bound on x_T where x_t <= a_t x_{t-1} + b_t (D, Lemma 18).

    e (x0 + c) prod of the a_t >= 1 + 1/tau. c is printed as max b_t/(a_t - 1), which may be
    negative where some a_t < 1 (D3); corrected max b_t/max(1/tau, a_t - 1).
    a: factors, >= 0
    b: what is added, >= 0
    x0: where the sequence begins, >= 0
    tau: > 0; at most tau of the factors may lie below 1 + 1/tau
    """
    factors, added = array("a", a, 1), array("b", b, 1)
    same_length(a=factors, b=added)
    at_least(0, x0=x0, **{"min(a)": float(factors.min()), "min(b)": float(added.min())})
    positive(tau=tau)
    one_of(Repaired, form=form)
    small = int((factors < 1 + 1 / tau).sum())
    if small > tau:
        raise refuse("tau", tau, f"be at least the number of a_t < 1 + 1/tau, which is {small}")
    if form == "printed" and (factors == 1).any():
        raise refuse("a", list(a), "hold no 1 in the printed form, which divides by a_t - 1")
    below = factors - 1 if form == "printed" else np.maximum(1 / tau, factors - 1)
    c = float((added / below).max())
    return float(math.e * (x0 + c) * factors[factors >= 1 + 1 / tau].prod())


def layer_recursion_bound(
    a: Sequence[float], b: Sequence[float], form: Tightened = "tight"
) -> float:
    """Bound on x_T where x_t <= a_t x_{t-1} + b_t and x_0 = 0 (D, Corollary 27).

    e T max(b) prod max(1, a_t); unrolling shows that e is not needed (D2), `tight` drops it.
    a: factors, >= 0
    b: what is added, >= 0
    """
    factors, added = array("a", a, 1), array("b", b, 1)
    same_length(a=factors, b=added)
    at_least(0, **{"min(a)": float(factors.min()), "min(b)": float(added.min())})
    one_of(Tightened, form=form)
    tight = len(factors) * float(added.max()) * float(np.maximum(1, factors).prod())
    return math.e * tight if form == "printed" else tight


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
    values: Numbers = (alpha ** (1 - draws) * beta**draws).tolist()
    return values


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
    c = 1 / (math.log(beta) - math.log(alpha))
    u = np.clip(2 * c * (np.log(values) - math.log(alpha) - math.log(beta)), -2, 2)
    cdf = np.where(u <= 0, (u + 2) ** 2 / 8, 1 - (2 - u) ** 2 / 8)
    return {"pdf": (c / values * (1 - np.abs(u) / 2)).tolist(), "cdf": cdf.tolist()}


def support(alpha: float, beta: float) -> None:
    """SpecError unless 0 < alpha < beta."""
    positive(alpha=alpha, beta=beta)
    if alpha >= beta:
        raise refuse("alpha", alpha, f"be < beta = {beta}")


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
    mask, rest, approx = [], w, 0.0
    for i, sample in enumerate(samples, start=1):
        low, high = gamma ** (i + 1) * w_max, gamma**i * w_max
        if not low * (1 - 1e-12) < sample <= high * (1 + 1e-12):
            raise refuse(f"v[{i - 1}]", sample, f"lie in ({low:.6g}, {high:.6g}], interval {i}")
        mask.append(int(rest >= high))
        if rest >= high:
            rest, approx = rest - sample, approx + sample
    return {"mask": mask, "approx": approx}


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
    above = math.log(1 / v) if form == "printed" else math.log(1 / gamma)
    return above / (v * math.log(v) ** 2)


def unknown_w_max_factor(w_max: float) -> int:
    """How many times the samples where w_max is not known (D, Remark 14); <= 4 w_max if >= 1/2.

    Every 2^{j+1}-th sample is drawn for w_max = 2^j; the first j with 2^j >= w_max serves.
    w_max: largest weight, which the sampler does not know
    """
    positive(w_max=w_max)
    return int(2 ** (max(0, math.ceil(math.log2(w_max))) + 1))
