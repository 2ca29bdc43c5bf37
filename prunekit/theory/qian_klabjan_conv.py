"""How close a pruned random convolutional network stays: paper B, Theorem 3.

Qian & Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065. Letters as in `qian_klabjan`, whose theorems are of other layers.
"""

from __future__ import annotations

import math
from typing import Any

from prunekit.errors import SpecError
from prunekit.theory.domain import positive, power, refuse, whole
from prunekit.theory.qian_klabjan import held, masks_hold, warn_of


def qk_alpha_limit_conv(d: int) -> float:
    """Largest alpha for convolutions with d channels: 2 - (ln(d+1) + ln ln d)/ln d (B, Theorem 3).

    d: channels, >= 3
    """
    whole(3, d=d)
    return 2 - (math.log(d + 1) + math.log(math.log(d))) / math.log(d)


def qk_theorem3(
    l: int,  # noqa: E741
    L: float,
    d: int,
    d0: int,
    dl: int,
    p: int,
    p0: int,
    q: int,
    alpha: float,
    beta1: float,
    beta2: float,
    C1: float,
    C2: float,
    C_latala: float = 1.0,
    t: float | None = None,
) -> dict[str, Any]:
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
    whole(3, l=l, d=d)
    whole(1, d0=d0, dl=dl, p=p, p0=p0, q=q)
    positive(L=L, alpha=alpha, beta1=beta1, beta2=beta2, C1=C1, C2=C2, C_latala=C_latala)
    within_limits(d, p, q, alpha, beta2)
    C3, C4, last = latala_means(C1, C2, C_latala, dl / d, p)
    inner, p_mask = inner_layers_hold(l, d, p, q, alpha, beta1, beta2, C3, C4), masks_hold(d, l)
    a, pbar = p**-beta1, inner - C3 / p ** (1 - beta1)
    scale, share = change_of_convolutions(l, L, a, d**-beta2, p0)
    warn_of(p_mask * pbar, share)
    values = {"C3": C3, "C4": C4, "pbar": pbar, "p_mask": p_mask, "prob": p_mask * pbar}
    values |= {"error_bound": a * scale * math.sqrt(d), "error_bound_d0": a * scale * d0**0.5}
    return values | {"E_Wl_corrected": last} | last_layer_below(t, last, inner, p_mask, scale, d0)


def latala_means(
    C1: float, C2: float, C_latala: float, ratio: float, p: int
) -> tuple[float, float, float]:
    """Lemma 4 three times: C3 for an inner layer, C4 for its change by pruning, and for E|W_l|.

    ratio: outputs over channels of the last layer.
    """
    C3 = C_latala * (math.sqrt(C1) * 2 + C2**0.25)
    C4 = C_latala * (2 * math.sqrt(3 * C1) + C2**0.25)
    return C3, C4, C_latala * last_layer_mean(C1, C2, ratio, p)


def inner_layers_hold(
    l: int,  # noqa: E741
    d: int,
    p: int,
    q: int,
    alpha: float,
    beta1: float,
    beta2: float,
    C3: float,
    C4: float,
) -> float:
    """Probability that norms and changes of the layers below the last keep their bounds."""
    changes = 1 - (l - 2) * C4 * q * q / p * d ** (beta2 - alpha / 4)
    return changes - (l * l - l - 2) / 2 * C3 * q * q / p ** (1 - beta1)


def change_of_convolutions(
    l: int,  # noqa: E741
    L: float,
    a: float,
    b: float,
    p0: int,
) -> tuple[float, float]:
    """(L a p0 (L^(l-2) (a + b)^(l-2) - L^(l-2) a^(l-2)), (1 + b/a)^(l-2) - 1).

    a: p^-beta1, the bound on norms. b: d^-beta2, that on changes. The error of the output is the
    first times the norms of input and last layer; the second is its share of the output's bound.
    """
    grown = power(L * (a + b), l - 2)[0] - power(L * a, l - 2)[0]
    return held("error_bound", L * a * p0 * grown, l), power((a + b) / a, l - 2)[0] - 1


def last_layer_below(
    t: float | None, mean: float, inner: float, p_mask: float, scale: float, d0: int
) -> dict[str, float]:
    """What Theorem 3 gives with |W_l| <= t, by Markov's inequality from its mean (B6)."""
    if t is None:
        return {}
    positive(t=t)
    pbar = inner - mean / t
    values = {"pbar_corrected": pbar, "prob_corrected": p_mask * pbar}
    return {**values, "error_bound_corrected": t * scale * math.sqrt(d0)}


def within_limits(d: int, p: int, q: int, alpha: float, beta2: float) -> None:
    """SpecError unless Theorem 3 speaks of these exponents and sizes."""
    limit = qk_alpha_limit_conv(d)
    if alpha > limit:
        raise refuse("alpha", alpha, f"lie in (0, {limit:.6g}] for {d} channels")
    if beta2 >= alpha / 4:
        raise refuse("beta2", beta2, f"be < alpha/4 = {alpha / 4:.6g}")
    if p < q:
        raise SpecError(f"p must be >= q: p {p}, q {q}")


def last_layer_mean(C1: float, C2: float, ratio: float, p: int) -> float:
    """Latala's bound on E|W_l| without its constant (B6); ratio: outputs over channels."""
    rows = math.sqrt(C1) * (1 + math.sqrt(ratio) / p)
    return float(rows + (C2 * ratio) ** 0.25 / math.sqrt(p))
