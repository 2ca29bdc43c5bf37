"""How close a pruned random network stays: paper B, theorems 1 and 2.

Qian & Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065. Letters: l layers of width d, x in the unit ball, layer k maps
d_{k-1} to d_k; of D_k = d_k d_{k-1} entries floor(D_k^{1-alpha}) are pruned in layers 1 < k < l.
C_latala is the constant of Lemma 4, at least 1: the 0.6 of Table 3 is no constant for all (B7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from prunekit.theory.domain import (
    array,
    at_least,
    one_of,
    positive,
    power,
    probability,
    refuse,
    same_length,
    vacuous,
    whole,
)

Repaired = Literal["printed", "corrected"]


def qk_alpha_limit(d_k: int, d_km1: int, form: Repaired = "corrected") -> float:
    """Largest alpha for which at least d ln d entries are pruned (B, (3) and (4)).

    min over d of d_k, d_{k-1}: 1 - (ln(d+1) + ln ln d)/(ln d_k + ln d_{k-1}). Printed with a minus
    before ln ln d, which prunes too few (B1; Theorem 3 has the plus).
    d_k: outputs of the layer, >= 3
    d_km1: inputs of the layer, >= 3
    """
    whole(3, d_k=d_k, d_km1=d_km1)
    one_of(Repaired, form=form)
    sign = -1 if form == "printed" else 1
    cells = math.log(d_k) + math.log(d_km1)
    parts = (math.log(d + 1) + sign * math.log(math.log(d)) for d in (d_k, d_km1))
    return 1 - max(parts) / cells


def qk_theorem1(
    l: int,  # noqa: E741
    L_prod: float,
    c0: float,
    delta_0: float,
    K: float,
    eps: float,
    delta: float,
    alpha: float,
    d: int | None = None,
    C_latala: float = 1.0,
) -> dict[str, Any]:
    """Width for pruning by magnitude; probability and error at a width d (B, Theorem 1).

    Weights from U[-K/sqrt(max(d_k, d_{k-1})), same]. The proof applies Lemma 4 to dependent entries
    (B4); the repaired constant is smaller, so the printed one below is valid.
    l: layers, >= 3
    L_prod: product of the Lipschitz constants of layers below the last
    c0: bound on spectral norms, (2K/sqrt 3)(C' + 1) of Lemma 3
    delta_0: rate of Lemma 3; see spectral_delta0
    K: scale of the weights
    eps: largest error of the output
    delta: largest probability of failing
    alpha: what is pruned, in (0, 1)
    d: width to judge
    C_latala: constant of Lemma 4
    """
    whole(3, l=l)
    positive(L_prod=L_prod, c0=c0, delta_0=delta_0, K=K, eps=eps, C_latala=C_latala)
    probability(delta=delta, alpha=alpha)
    c2 = C_latala * K * (2 * math.sqrt(2) + 24**0.25)
    C2 = held("C2", doublings(l) * L_prod * power(c0, l - 1)[0], l)
    C1, C3 = 1 / c0, (l * l - 2) * c2
    C4, C5 = math.log(l * l - 2) / (4 * delta_0), 1 / (4 * delta_0)
    last = C4 - C5 * math.log(delta)
    least = least_width([(C1, 1 / alpha), (C2 / eps, 1 / alpha), (C3 / delta, 1 / alpha)], last)
    values = {"c2": c2, "C1": C1, "C2": C2, "C3": C3, "C4": C4, "C5": C5, **least}
    if d is None:
        return values
    whole(1, d=d)
    rare, gap = math.exp(-4 * delta_0 * d), d**-alpha
    p0 = (1 - 2 * rare) * (1 - (l - 2) * c2 * gap - (l + 1) * (l - 2) * rare)
    warn_of(p0, doublings(l) * gap)
    return {**values, "p0": p0, "error_bound": C2 * gap, "precond": gap <= c0}


def doublings(l: int) -> float:  # noqa: E741
    """2^(l - 2) - 1, with which errors grow over the inner layers; inf where no float holds it."""
    return power(2, l - 2)[0] - 1


def held(name: str, value: float, l: int) -> float:  # noqa: E741
    """`value`; SpecError where it grew over `l` layers past what a float holds."""
    if not math.isfinite(value):
        raise refuse("l", l, f"be smaller, {name} passes what a float holds (1e308)")
    return value


def least_width(powers: Sequence[tuple[float, float]], floor: float) -> dict[str, float]:
    """d_min and its log10, the largest of base^exponent and `floor`; 1e37 is a usual value."""
    bounds = [power(base, exponent) for base, exponent in powers if base > 0]
    bounds.append((floor, math.log10(floor) if floor > 0 else -math.inf))
    return {"d_min": max(v for v, _ in bounds), "log10_d_min": max(log for _, log in bounds)}


def warn_of(p: float, share: float) -> None:
    """Warn of a probability <= 0, and of an error bound above that of the zero network."""
    vacuous(p <= 0, f"the probability is only bounded by {p:.4g} <= 0", depth=2)
    vacuous(share >= 1, f"the error bound is {share:.4g} times the bound on the output", depth=2)


def qk_theorem2(
    l: int,  # noqa: E741
    L_prod: float,
    N: Sequence[float],
    deltas: Sequence[float],
    K1: float,
    K2: float,
    eps: float,
    delta: float,
    alpha: float,
    d: int | None = None,
    C_latala: float = 1.0,
) -> dict[str, Any]:
    """Width for pruning at random, with replacement; probability and error at d (B, Theorem 2).

    l: layers, >= 3
    L_prod: product of the Lipschitz constants of layers below the last
    N: for each layer a bound >= 1 on its spectral norm
    deltas: for each layer the probability that the bound fails, in [0, 1)
    K1: variance of a weight times max(d_k, d_{k-1})
    K2: fourth moment of a weight times max(d_k, d_{k-1})^2
    eps: largest error of the output
    delta: largest probability of failing; above deltas[l] + sum (l - i) deltas[i]
    alpha: what is pruned, in (0, 1)
    d: width to judge
    C_latala: constant of Lemma 4
    """
    whole(3, l=l)
    positive(L_prod=L_prod, K1=K1, K2=K2, eps=eps, C_latala=C_latala)
    probability(delta=delta, alpha=alpha)
    N, deltas = norms_of_layers(l, N, deltas)
    below = sum((l - i) * share for i, share in enumerate(deltas[:-1], start=1))
    delta0 = left_over(delta, deltas[-1] + below)
    c2 = C_latala * (2 * math.sqrt(3 * K1) + K2**0.25)
    C2 = held("C2", doublings(l) * L_prod * math.prod(N), l)
    C1, C3, C4 = max(1 / bound for bound in N[1:-1]), 3 * (l - 2), 3 * c2 * (l - 2)
    powers = [(C1, 4 / alpha), (C2 / eps, 4 / alpha), (C3 / delta0, 3.0), (C4 / delta0, 4 / alpha)]
    values = {"c2": c2, "C1": C1, "C2": C2, "C3": C3, "C4": C4, "delta0": delta0}
    values |= least_width(powers, 0.0)
    if d is None:
        return values
    whole(1, d=d)
    p_mask, gap = masks_hold(d, l), d ** (-alpha / 4)
    p_weights = (1 - deltas[-1]) * (1 - (l - 2) * c2 * gap - below)
    warn_of(p_mask * p_weights, doublings(l) * gap)
    values |= {"p_mask": p_mask, "p_weights": p_weights, "p0": p_mask * p_weights}
    return {**values, "error_bound": C2 * gap, "precond": gap <= min(N[1:-1])}


def norms_of_layers(
    l: int,  # noqa: E741
    N: Sequence[float],
    deltas: Sequence[float],
) -> tuple[list[float], list[float]]:
    """N and deltas as lists; SpecError unless both have l entries, those of N >= 1, others >= 0."""
    norms: list[float] = array("N", N, 1).tolist()
    shares: list[float] = array("deltas", deltas, 1).tolist()
    same_length(N=norms, deltas=shares, layers=range(l))
    at_least(1, **{f"N[{i}]": bound for i, bound in enumerate(norms)})
    at_least(0, **{f"deltas[{i}]": share for i, share in enumerate(shares)})
    return norms, shares


def left_over(delta: float, used: float) -> float:
    """delta0, what the deltas of the layers leave of delta; SpecError where it is nothing."""
    if delta - used <= 0:
        raise refuse("delta", delta, f"be > {used:.6g}, what the deltas use up")
    return delta - used


def masks_hold(d: int, l: int) -> float:  # noqa: E741
    """Probability that no row or column of a random mask is hit too often: (1 - d^-1/3)^2(l-2)."""
    return float((1 - d ** (-1 / 3)) ** (2 * (l - 2)))
