"""How close a pruned random convolutional network stays: paper B, Theorem 3.

Qian & Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065. Letters as in `qian_klabjan`, whose theorems are of other layers.
"""

from __future__ import annotations

import decimal
import math
from decimal import Decimal
from typing import Any

from prunekit.errors import SpecError
from prunekit.theory.domain import calculator, positive, refuse, vacuous, whole
from prunekit.theory.exact import digits, exact
from prunekit.theory.qian_klabjan import grown, masks_hold, named, root, warn_of


@calculator
def qk_alpha_limit_conv(d: int) -> float:
    """Largest alpha for convolutions with d channels: 2 - (ln(d+1) + ln ln d)/ln d (B, Theorem 3).

    d: channels, >= 3
    """
    whole(3, d=d)
    return 2 - (math.log(d + 1) + math.log(math.log(d))) / math.log(d)


@calculator
def qk_theorem3(
    l: int, L: float, d: int, d0: int, dl: int, p: int, p0: int, q: int,  # noqa: E741
    alpha: float, beta1: float, beta2: float, C1: float, C2: float, C_latala: float = 1.0,
    t: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Probability and error for convolutions, circular padding, pruned at random (B, Theorem 3).

    Printed: |W_l| <= p^-beta1 with probability 1 - C5/p^(1-beta1). No such C5 exists (B6), here
    C5 = C3; E_Wl_corrected bounds E|W_l| instead. With t, |W_l| <= t takes its place, in
    pbar_corrected, prob_corrected and error_bound_corrected.
    l: layers, >= 3
    L: Lipschitz constant of each activation
    d: channels of the inner layers
    d0: channels of the input
    dl: channels of the output
    p: rows and columns of the maps
    p0: rows and columns of the input
    q: rows and columns of the kernels, <= p
    alpha: what is pruned, in (0, qk_alpha_limit_conv(d)]
    beta1: norms are bounded by p^-beta1, > 0
    beta2: changes are bounded by d^-beta2, in (0, alpha/4)
    C1: variance of a weight times p^2 d
    C2: fourth moment of a weight times p^4 d^2
    C_latala: constant of Lemma 4
    t: bound on |W_l| instead of p^-beta1
    """
    whole(1, l=l, d0=d0, dl=dl, p=p, p0=p0, q=q)
    positive(L=L, alpha=alpha, beta1=beta1, beta2=beta2, C1=C1, C2=C2, C_latala=C_latala)
    within_limits(l, d, p, q, alpha, beta2)
    with decimal.localcontext(digits()):
        a, b = Decimal(p) ** -Decimal(beta1), Decimal(d) ** -Decimal(beta2)
        C3, C4, last = latala_means(C1, C2, C_latala, dl / d, p)
        changed = (l - 2) * C4 * q * q / (p * b) * Decimal(d) ** -(Decimal(alpha) / 4)
        inner = 1 - changed - (l * l - l - 2) * C3 * q * q / (2 * p * a)
        pbar, p_mask = inner - C3 / (p * a), masks_hold(d, l)
        scale, share = change_of_convolutions(l, Decimal(L), a, b, p0)
        warn_of(p_mask * pbar, share)
        values = named(C3=C3, C4=C4, pbar=pbar, p_mask=p_mask, prob=p_mask * pbar)
        values |= named(error_bound=a * scale * root(d), error_bound_d0=a * scale * root(d0))
        return values | named(E_Wl_corrected=last, **with_t(t, inner, last, p_mask, scale, d0))


def change_of_convolutions(
    l: int,  # noqa: E741
    L: Decimal,
    a: Decimal,
    b: Decimal,
    p0: int,
) -> tuple[Decimal, Decimal]:
    """p0 L^(l-1) a ((a + b)^(l-2) - a^(l-2)), and (1 + b/a)^(l-2) - 1.

    a: p^-beta1, the bound on norms. b: d^-beta2, that on changes. The error of the output is the
    first times the norms of input and last layer; the second is its share of the output's bound.
    """
    change = (a + b) ** (l - 2) - a ** (l - 2)
    return grown("error_bound", p0 * L ** (l - 1) * a * change, l), change / a ** (l - 2)


def with_t(
    t: float | None, inner: Decimal, last: Decimal, p_mask: Decimal, scale: Decimal, d0: int
) -> dict[str, Decimal]:
    """What Theorem 3 gives with |W_l| <= t, by Markov's inequality from its mean (B6)."""
    if t is None:
        return {}
    positive(t=t)
    pbar = inner - last / Decimal(t)
    vacuous(pbar <= 0, f"with t, the probability is only bounded by {pbar:.4g} <= 0", depth=2)
    values = {"pbar_corrected": pbar, "prob_corrected": p_mask * pbar}
    return {**values, "error_bound_corrected": Decimal(t) * scale * root(d0)}


def latala_means(
    C1: float, C2: float, C_latala: float, ratio: float, p: int
) -> tuple[Decimal, Decimal, Decimal]:
    """Lemma 4 three times: C3 for an inner layer, C4 for its change by pruning, and for E|W_l|."""
    variance, fourth, C = exact(C1, C2, C_latala)
    C3 = C * (2 * root(variance) + root(fourth, 4))
    C4 = C * (2 * root(3 * variance) + root(fourth, 4))
    return C3, C4, C * Decimal(last_layer_mean(C1, C2, ratio, p))


def last_layer_mean(C1: float, C2: float, ratio: float, p: int) -> float:
    """Latala's bound on E|W_l| without its constant (B6); ratio: outputs over channels."""
    rows = math.sqrt(C1) * (1 + math.sqrt(ratio) / p)
    return float(rows + (C2 * ratio) ** 0.25 / math.sqrt(p))


def within_limits(
    l: int,  # noqa: E741
    d: int,
    p: int,
    q: int,
    alpha: float,
    beta2: float,
) -> None:
    """SpecError unless Theorem 3 speaks of these exponents and sizes."""
    whole(3, l=l, d=d)
    limit = qk_alpha_limit_conv(d)
    if alpha > limit:
        raise refuse("alpha", alpha, f"lie in (0, {limit:.6g}] for {d} channels")
    if beta2 >= alpha / 4:
        raise refuse("beta2", beta2, f"be < alpha/4 = {alpha / 4:.6g}")
    if p < q:
        raise SpecError(f"p must be >= q: p {p}, q {q}")
