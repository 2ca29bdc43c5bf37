"""Random masks drawn with replacement: how often cells are hit (paper B, lemmas 5 and 6, E.2).

Qian & Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065. In decimals; what is below every float (1e-323) is 0.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from prunekit.theory.domain import calculator, one_of, positive, vacuous, whole
from prunekit.theory.exact import exact, log1p
from prunekit.theory.factorials import digits_of, ln_binomial, ln_gamma

Chernoff = Literal["printed", "corrected", "tight"]


@calculator
def balls_in_bins(N: int, n: int) -> dict[str, float]:
    """Bounds on the probability that one of n bins gets over 3N/n of N balls (B, Lemma 6).

    union_exact: n P(Bin(N, 1/n) > 3N/n). claimed: n^{-1/3} for N >= n ln n, which does not follow
    from the proof but holds for every n tried (B3). chernoff_correct: n exp(-(N/n)(3 ln 3 - 2)).
    N: balls; the lemma is of N >= n ln n
    n: bins, >= 2
    """
    whole(1, N=N)
    whole(2, n=n)
    with digits_of(N, n):
        union = n * tail(N, 1 / Decimal(n), 3 * N // n)
        chernoff = n * (-(3 * Decimal(3).ln() - 2) * N / n).exp()
        claimed, few = Decimal(n) ** (-1 / Decimal(3)), n * Decimal(n).ln()
        said = [f"the union over bins is bounded by {union:.4g} >= 1"] if union >= 1 else []
        if few > N:
            said.append(f"claimed is a claim for N >= n ln n = {few:.6g} only: N is {N}")
        elif chernoff >= 1:
            said.append(f"chernoff_correct is {chernoff:.4g} >= 1")
        vacuous(bool(said), "; ".join(said))
        values = {"union_exact": union, "claimed": claimed, "chernoff_correct": chernoff}
        return {name: float(value) for name, value in values.items()}


def binomial_tail(n: int, p: float, k: int) -> float:
    """P(Bin(n, p) > k) for k >= n p."""
    with digits_of(n):
        return float(tail(n, Decimal(p), k))


def tail(n: int, p: Decimal, k: int) -> Decimal:
    """P(Bin(n, p) > k) for k >= n p, summed from its largest term."""
    if k >= n:
        return Decimal(0)
    j = k + 1
    total = term = (ln_binomial(n, j) + j * p.ln() + (n - j) * (1 - p).ln()).exp()
    while j < n and term > total * Decimal("1e-25"):
        term *= (n - j) * p / ((j + 1) * (1 - p))
        total, j = total + term, j + 1
    return total


@calculator
def chernoff_tail(mu: float, deviation: float, form: Chernoff = "tight") -> dict[str, float]:
    """Bound on P(X >= (1 + deviation) mu) for a sum of independent 0s and 1s (B, Lemma 5).

    Printed exp(-mu d^2/(1 + d)), which is false (B3); corrected exp(-mu d^2/(2 + d)); tight
    exp(-mu((1 + d) ln(1 + d) - d)).
    mu: mean of the sum
    deviation: d, > 0
    """
    positive(mu=mu, deviation=deviation)
    one_of(Chernoff, form=form)
    with digits_of(1 / Decimal(deviation)):
        mean, d = exact(mu, deviation)
        rates = {
            "printed": d**2 / (1 + d),
            "corrected": d**2 / (2 + d),
            "tight": (1 + d) * log1p(d) - d,
        }
        exponent = -mean * rates[form]
        bound = {"bound": float(exponent.exp()), "log10_bound": float(exponent / Decimal(10).ln())}
    vacuous(bound["bound"] >= 1, f"the bound is 1 in floats: its log10 is {bound['log10_bound']}")
    return bound


@calculator
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
    with digits_of(cells):
        ways = ln_gamma(cells + 1) - ln_gamma(cells - N + 1)  # cells!/(cells - N)!
        return float((ways - N * Decimal(cells).ln()).exp())


@calculator
def kept_fraction_with_replacement(N: int, cells: int) -> float:
    """Share of entries that N uniform draws leave, on average: (1 - 1/cells)^N (B, section 4).

    N: draws
    cells: entries of the layer
    """
    whole(0, N=N)
    whole(1, cells=cells)
    if cells == 1:
        return float(N == 0)
    with digits_of(N, cells):
        return float((N * log1p(-1 / Decimal(cells))).exp())
