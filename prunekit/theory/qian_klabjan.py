"""How close a pruned random network stays: paper B, theorems 1 and 2.

Qian & Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065. Letters: l layers of width d, x in the unit ball, layer k maps
d_{k-1} to d_k; of D_k = d_k d_{k-1} entries floor(D_k^{1-alpha}) are pruned in layers 1 < k < l.
C_latala is the constant of Lemma 4, at least 1: the 0.6 of Table 3 is no constant for all (B7).
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

from prunekit.theory.domain import (
    array,
    at_least,
    calculator,
    one_of,
    positive,
    probability,
    refuse,
    same_length,
    vacuous,
    whole,
)
from prunekit.theory.exact import digits, exact, held

Repaired = Literal["printed", "corrected"]


@calculator
def qk_alpha_limit(d_k: int, d_km1: int, form: Repaired = "corrected") -> float:
    """Largest alpha for which at least d ln d entries are pruned (B, (3) and (4)).

    min over d of d_k, d_{k-1}: 1 - (ln(d+1) + ln ln d)/(ln d_k + ln d_{k-1}). Printed with a minus
    before ln ln d, which prunes too few (B1; Theorem 3 has the plus).
    d_k: outputs of the layer, >= 3
    d_km1: inputs of the layer, >= 3
    """
    whole(3, d_k=d_k, d_km1=d_km1)
    one_of(Repaired, form=form)
    limit = alpha_limit(d_k, d_km1, -1 if form == "printed" else 1)
    vacuous(limit <= 0, f"no alpha in (0, 1) prunes so many: the limit is {limit:.4g}")
    return limit


def alpha_limit(d_k: int, d_km1: int, sign: int = 1) -> float:
    """The limit of alpha; sign: of ln ln d."""
    cells = math.log(d_k) + math.log(d_km1)
    parts = (math.log(d + 1) + sign * math.log(math.log(d)) for d in (d_k, d_km1))
    return 1 - max(parts) / cells


@calculator
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
    form: Repaired = "printed",
) -> dict[str, Any]:
    """Width for pruning by magnitude; probability and error at a width d (B, Theorem 1).

    Weights from U[-K/sqrt(max(d_k, d_{k-1})), same]. The proof applies Lemma 4 to dependent entries
    (B4); printed c2 = CK(2 sqrt 2 + 24^{1/4}) is valid once C is. Corrected c2 = K sqrt(2 pi) needs
    no C; with uniform_norm_tail's delta0 for c0 > K sqrt(pi/2) then every constant is proved.
    l: layers, >= 3
    L_prod: product of the Lipschitz constants of layers below the last
    c0: bound on spectral norms, (2K/sqrt 3)(C' + 1) of Lemma 3
    delta_0: rate of Lemma 3; see uniform_norm_tail and spectral_delta0
    K: scale of the weights
    eps: largest error of the output
    delta: largest probability of failing
    alpha: what is pruned, in (0, 1)
    d: width to judge
    C_latala: constant of Lemma 4, of the printed form
    """
    whole(3, l=l)
    positive(L_prod=L_prod, c0=c0, delta_0=delta_0, K=K, eps=eps, C_latala=C_latala)
    probability(delta=delta, alpha=alpha)
    one_of(Repaired, form=form)
    with decimal.localcontext(digits()):
        given = exact(L_prod, c0, delta_0, K, eps, delta, alpha, C_latala)
        L, c, rate, K_, error, failing, a, C = given
        c2 = C * K_ * (2 * root(2) + root(24, 4)) if form == "printed" else 2 * K_ * root(PI / 2)
        C1, C3 = 1 / c, (l * l - 2) * c2
        C2 = grown("C2", doublings(l) * L * c ** (l - 1), l)
        C4, C5 = Decimal(l * l - 2).ln() / (4 * rate), 1 / (4 * rate)
        values = named(c2=c2, C1=C1, C2=C2, C3=C3, C4=C4, C5=C5)
        powers = [(C1, 1 / a), (C2 / error, 1 / a), (C3 / failing, 1 / a)]
        values |= least_width([*powers, (C4 - C5 * failing.ln(), Decimal(1))])
        if d is None:
            return values
        whole(1, d=d)
        rare, gap = (-4 * rate * d).exp(), Decimal(d) ** -a
        p0 = both(1 - 2 * rare, 1 - (l - 2) * c2 * gap - (l + 1) * (l - 2) * rare)
        warn_of(p0, doublings(l) * gap / c)
        return values | named(p0=p0, error_bound=C2 * gap) | {"precond": gap <= c}


PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")


def root(x: Decimal | int, order: int = 2) -> Decimal:
    """x^{1/order} for an order 2 or 4."""
    square = Decimal(x).sqrt()
    return square if order == 2 else square.sqrt()


def both(first: Decimal, second: Decimal) -> Decimal:
    """The product of two lower bounds on probabilities; negative where one of them or both are."""
    return (first * second).copy_sign(min(first, second))


def doublings(l: int) -> Decimal:  # noqa: E741
    """2^(l - 2) - 1, with which errors grow over the inner layers."""
    return Decimal(2) ** (l - 2) - 1


def grown(name: str, value: Decimal, l: int) -> Decimal:  # noqa: E741
    """`value`; SpecError where it grew over `l` layers past what a float holds."""
    if value > Decimal("1e308"):
        raise refuse("l", l, f"be smaller, {name} passes what a float holds (1e308)")
    return value


def named(**values: Decimal) -> dict[str, Any]:
    """The values as floats."""
    return {name: held(name, value) for name, value in values.items()}


def least_width(powers: Sequence[tuple[Decimal, Decimal]]) -> dict[str, float]:
    """d_min and its log10, the largest base^exponent; 1e37 is a usual value."""
    digits_, base, exponent = max((e * b.log10(), b, e) for b, e in powers if b > 0)
    value = float(base**exponent) if abs(digits_) < 308 else math.inf if digits_ > 0 else 0.0
    return {"d_min": value, "log10_d_min": float(digits_)}


def warn_of(p: Decimal, share: Decimal) -> None:
    """Warn of a probability <= 0, and of an error bound not below that of the zero network."""
    vacuous(p <= 0, f"the probability is only bounded by {p:.4g} <= 0", depth=2)
    vacuous(share >= 1, f"the error bound is {share:.4g} times the bound on the output", depth=2)


@calculator
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
    deltas: for each layer the probability that the bound fails, in [0, 1); see uniform_norm_bound
    K1: variance of a weight times max(d_k, d_{k-1})
    K2: fourth moment of a weight times max(d_k, d_{k-1})^2
    eps: largest error of the output
    delta: largest probability of failing; above deltas[l] + sum (l - i) deltas[i]
    alpha: what is pruned, in (0, 1); p0 is proved up to qk_alpha_limit
    d: width to judge
    C_latala: constant of Lemma 4
    """
    whole(3, l=l)
    positive(L_prod=L_prod, K1=K1, K2=K2, eps=eps, C_latala=C_latala)
    probability(delta=delta, alpha=alpha)
    with decimal.localcontext(digits()):
        norms, shares = norms_of_layers(l, N, deltas)
        L, first, second, error, failing, a, C = exact(L_prod, K1, K2, eps, delta, alpha, C_latala)
        below = sum((l - i) * share for i, share in enumerate(shares[:-1], start=1))
        delta0 = left_over(failing, shares[-1] + below)
        c2 = C * (2 * root(3 * first) + root(second, 4))
        C2 = grown("C2", doublings(l) * L * math.prod(norms), l)
        C1, C3, C4 = max(1 / bound for bound in norms[1:-1]), Decimal(3 * (l - 2)), 3 * c2 * (l - 2)
        values = named(c2=c2, C1=C1, C2=C2, C3=C3, C4=C4, delta0=delta0)
        powers = [(C1, 4 / a), (C2 / error, 4 / a), (C4 / delta0, 4 / a)]
        values |= least_width([*powers, (C3 / delta0, Decimal(3))])
        if d is None:
            return values
        whole(1, d=d)
        p_mask, gap = masks_hold(d, l), Decimal(d) ** (-a / 4)
        p_weights = both(1 - shares[-1], 1 - (l - 2) * c2 * gap - below)
        warn_of(p_mask * p_weights, doublings(l) * gap)
        warn_of_alpha(d, alpha)
        values |= named(p_mask=p_mask, p_weights=p_weights, p0=p_mask * p_weights)
        return values | named(error_bound=C2 * gap) | {"precond": gap <= min(norms[1:-1])}


def norms_of_layers(
    l: int,  # noqa: E741
    N: Sequence[float],
    deltas: Sequence[float],
) -> tuple[Sequence[Decimal], Sequence[Decimal]]:
    """N and deltas; SpecError unless both have l entries, those of N >= 1, of deltas in [0, 1)."""
    norms, shares = array("N", N, 1).tolist(), array("deltas", deltas, 1).tolist()
    same_length(N=norms, deltas=shares, layers=range(l))
    at_least(1, **{f"N[{i}]": bound for i, bound in enumerate(norms)})
    at_least(0, **{f"deltas[{i}]": share for i, share in enumerate(shares)})
    return exact(*norms), exact(*shares)


def left_over(delta: Decimal, used: Decimal) -> Decimal:
    """delta0, what the deltas of the layers leave of delta; SpecError where it is nothing."""
    if delta <= used:
        raise refuse("delta", float(delta), f"be > {used:.6g}, what the deltas use up")
    return delta - used


def masks_hold(d: int, l: int) -> Decimal:  # noqa: E741
    """Probability that no row or column of a random mask is hit too often: (1 - d^-1/3)^2(l-2)."""
    return Decimal((1 - Decimal(d) ** (-1 / Decimal(3))) ** (2 * (l - 2)))


def warn_of_alpha(d: int, alpha: float) -> None:
    """Warn where fewer than d ln d of d x d entries are pruned: Lemma 6 says nothing of them."""
    limit = alpha_limit(d, d) if d > 2 else 0.0
    few = f"alpha {alpha:.4g} > {limit:.4g}: p_mask is proved where d ln d entries are pruned"
    vacuous(alpha > limit, few, depth=2)
