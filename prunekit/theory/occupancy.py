"""Random masks drawn with replacement: how often cells are hit (paper B, lemmas 5 and 6, E.2).

Qian & Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from prunekit.theory.domain import one_of, positive, vacuous, whole

Chernoff = Literal["printed", "corrected", "tight"]
CHUNK = 1 << 20


def balls_in_bins(N: int, n: int) -> dict[str, float]:
    """Bounds on the probability that one of n bins gets over 3N/n of N balls (B, Lemma 6).

    union_exact: n P(Bin(N, 1/n) > 3N/n). claimed: n^{-1/3}, which does not follow from the proof
    but holds for every n tried (B3). chernoff_correct: n exp(-(N/n)(3 ln 3 - 2)).
    N: balls
    n: bins, >= 2
    """
    whole(1, N=N)
    whole(2, n=n)
    union = n * binomial_tail(N, 1 / n, 3 * N // n)
    vacuous(union >= 1, f"the union over bins is bounded by {union:.4g} >= 1")
    return {
        "union_exact": union,
        "claimed": n ** (-1 / 3),
        "chernoff_correct": n * math.exp(-(N / n) * (3 * math.log(3) - 2)),
    }


def binomial_tail(n: int, p: float, k: int) -> float:
    """P(Bin(n, p) > k) for k >= n p, summed from its largest term."""
    if k >= n:
        return 0.0
    term = total = binomial_term(n, p, k + 1)
    for j in range(k + 1, n):
        term *= (n - j) / (j + 1) * p / (1 - p)
        total += term
        if term <= 1e-18 * total:  # also where all are below any float
            break
    return total


def binomial_term(n: int, p: float, k: int) -> float:
    """P(Bin(n, p) = k), 0 < k <= n, by the saddle point: lgamma alone loses digits for large n."""
    if k == n:
        return p**n
    far = deviance(k, n * p) + deviance(n - k, n * (1 - p))
    stirling = stirling_rest(n) - stirling_rest(k) - stirling_rest(n - k)
    return math.exp(stirling - far) / math.sqrt(2 * math.pi * k * (n - k) / n)


def deviance(x: float, mean: float) -> float:
    """x ln(x/mean) + mean - x."""
    return x * math.log1p((x - mean) / mean) + mean - x


def stirling_rest(n: int) -> float:
    """ln n! less Stirling's formula."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    return 1 / (12 * n) - 1 / (360 * n**3) + 1 / (1260 * n**5) - 1 / (1680 * n**7)


def chernoff_tail(mu: float, deviation: float, form: Chernoff = "tight") -> dict[str, float]:
    """Bound on P(X >= (1 + deviation) mu) for a sum of independent 0s and 1s (B, Lemma 5).

    Printed exp(-mu d^2/(1 + d)), which is false (B3); corrected exp(-mu d^2/(2 + d)); tight
    exp(-mu((1 + d) ln(1 + d) - d)).
    mu: mean of the sum
    deviation: d, > 0
    """
    positive(mu=mu, deviation=deviation)
    one_of(Chernoff, form=form)
    rates = {
        "printed": deviation**2 / (1 + deviation),
        "corrected": deviation**2 / (2 + deviation),
        "tight": (1 + deviation) * math.log1p(deviation) - deviation,
    }
    exponent = -mu * rates[form]
    return {"bound": math.exp(exponent), "log10_bound": exponent / math.log(10)}


def no_repeat_probability(N: int, cells: int) -> float:
    """Probability that N uniform draws from `cells` hit none twice: prod (1 - i/cells) (B, E.2).

    The printed probability of a mask with exactly N zeros is this one (B8): 3e-15 for d = 64,
    alpha = 1/2.
    N: draws
    cells: entries of the layer
    """
    whole(0, N=N)
    whole(1, cells=cells)
    if cells < N:
        return 0.0
    total = 0.0
    for first in range(0, N, CHUNK):
        share = np.arange(first, min(first + CHUNK, N)) / cells
        total += float(np.log1p(-share).sum())
        if total < -800:
            return 0.0
    return math.exp(total)


def kept_fraction_with_replacement(N: int, cells: int) -> float:
    """Share of entries that N uniform draws leave, on average: (1 - 1/cells)^N (B, section 4).

    N: draws
    cells: entries of the layer
    """
    whole(0, N=N)
    whole(1, cells=cells)
    if cells == 1:
        return float(N == 0)
    return math.exp(N * math.log1p(-1 / cells))
