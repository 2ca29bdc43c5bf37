"""Norms of uniform random matrices, and of what pruning takes away, with proved tails.

W (n1, n2) has independent entries from U[-a, a], a = K/sqrt n, n = max(n1, n2), as in paper B
(Qian & Klabjan, https://arxiv.org/abs/2105.10065), whose own bounds hang on Latala's unknown
constant. None is needed:

    E|W| <= c_bar = a sqrt(pi/8) (sqrt n1 + sqrt n2)          P(|W| > c_bar + t) <= e^{-pi t^2/4a^2}

Mean: U[-a, a] is below N(0, pi a^2/8) in convex order, |W| is convex in each entry, and for normal
entries Gordon's and Chevet's inequality holds. Tail: U = a(2 Phi(g) - 1) is a sqrt(2/pi)-Lipschitz
in a normal g, so |W| is in all of them. Numbers are a few per cent above what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from prunekit.errors import SpecError
from prunekit.theory.domain import (
    calculator,
    listed,
    one_of,
    positive,
    probability,
    refuse,
    vacuous,
    whole,
)
from prunekit.theory.exact import held

Pruning = Literal["magnitude", "random"]


def reach(n1: int, n2: int) -> float:
    """c_bar/a: sqrt(pi/8) (sqrt n1 + sqrt n2)."""
    return math.sqrt(math.pi / 8) * (math.sqrt(n1) + math.sqrt(n2))


def deviation(delta: float) -> float:
    """t/a that is passed with probability <= delta: 2 sqrt(ln(1/delta)/pi)."""
    return 2 * math.sqrt(-math.log(delta) / math.pi)


@calculator
def uniform_norm_tail(n1: int, n2: int, c: float, K: float = 1.0) -> dict[str, float]:
    """P(|W| > c) <= exp(-pi n (c - c_bar)^2/(4 K^2)) for c > c_bar >= E|W|; proved (B, Lemma 3).

    delta0 is the rate of Lemma 3: pi (c - c_bar)^2/(16 K^2). The limit of |W| itself,
    spectral_norm_asymptote, is passed with probability .08 at n = 100, and more for larger n.
    n1: rows
    n2: columns
    c: the bound that |W| may pass
    K: scale of the weights, U[-K/sqrt n, K/sqrt n]
    """
    whole(1, n1=n1, n2=n2)
    positive(c=c, K=K)
    n = max(n1, n2)
    mean = K * (reach(n1, n2) / math.sqrt(n))
    delta0 = math.pi * (max(c - mean, 0.0) / K) ** 2 / 16
    vacuous(c <= mean, f"c is not above the bound {mean:.4g} on the mean: P is only <= 1")
    tail = {"tail": math.exp(-4 * n * delta0), "log10_tail": -4 * n * delta0 / math.log(10)}
    return {"mean_bound": mean, **tail, "delta0": delta0}


@calculator
def uniform_norm_bound(n1: int, n2: int, delta: float, K: float = 1.0) -> float:
    """c with P(|W| > c) <= delta: c_bar + 2K sqrt(ln(1/delta)/(pi n)); see uniform_norm_tail.

    n1: rows
    n2: columns
    delta: largest probability of failing
    K: scale of the weights, U[-K/sqrt n, K/sqrt n]
    """
    whole(1, n1=n1, n2=n2)
    positive(K=K)
    probability(delta=delta)
    return K * ((reach(n1, n2) + deviation(delta)) / math.sqrt(max(n1, n2)))


@calculator
def pruned_error_bound(
    widths: Sequence[int],
    counts: Sequence[int],
    delta: float,
    K: float = 1.0,
    pruning: Pruning = "magnitude",
) -> dict[str, Any]:
    """Error on the unit ball after pruning inner layers of a random network; proved, at any width.

    prod (N_k + gap_k) - prod N_k over the layers, N_k >= |W_k|, gap_k >= |W_k - W_k'|, 0 for the
    first and last layer. Weights of layer k are U[-K/sqrt n, K/sqrt n], n the larger of its two
    widths; activations are 1-Lipschitz and keep 0. Each bound fails with probability delta/(2l-2).
    widths: n_0, ..., n_l
    counts: entries pruned in each layer but the first and last
    delta: largest probability of failing
    K: scale of the weights
    pruning: magnitude, the smallest; or random, without regard to the values
    """
    layers = checked(widths, delta, K)
    one_of(Pruning, pruning=pruning)
    if len(listed("counts", counts)) != len(layers) - 2:
        raise refuse("counts", list(counts), f"hold {len(layers) - 2} numbers, one an inner layer")
    whole(0, **{f"counts[{k}]": r for k, r in enumerate(counts)})
    for r, (n1, n2) in zip(counts, layers[1:-1]):
        if r > n1 * n2:
            raise refuse("counts", r, f"be at most {n1 * n2}, the entries of the layer")
    found = errors(layers, counts, delta, K, pruning)
    error, output = found["error_bound"], found["output_bound"]
    vacuous(error >= output, f"the error bound is {error:.4g}, that on the output {output:.4g}")
    return found


@calculator
def prunable_counts(
    widths: Sequence[int],
    eps: float,
    delta: float,
    K: float = 1.0,
    pruning: Pruning = "magnitude",
) -> list[int]:
    """How many entries each inner layer may lose for an error <= eps: pruned_error_bound inverted.

    All lose the same share, rounded down.
    widths: n_0, ..., n_l
    eps: largest error of the output
    delta: largest probability of failing
    K: scale of the weights
    pruning: magnitude, the smallest; or random, without regard to the values
    """
    layers = checked(widths, delta, K)
    positive(eps=eps)
    one_of(Pruning, pruning=pruning)
    cells = [n1 * n2 for n1, n2 in layers[1:-1]]
    most = max(cells)

    def counts(r: int) -> list[int]:
        return [r * D // most for D in cells]

    def fits(r: int) -> bool:
        return float(errors(layers, counts(r), delta, K, pruning)["error_bound"]) <= eps

    return counts(last_true(fits, most))


def last_true(fits: Callable[[int], bool], most: int) -> int:
    """The largest r in 0, ..., most with fits(r), which holds up to some r >= 0."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def checked(widths: Sequence[int], delta: float, K: float) -> list[tuple[int, int]]:
    """(inputs, outputs) of each layer; SpecError where these bounds are not of such a network."""
    whole(1, **{f"widths[{k}]": width for k, width in enumerate(listed("widths", widths))})
    if len(widths) < 4:
        raise SpecError(f"widths must name a layer between the first and last: {list(widths)}")
    if max(widths) > 10**100:
        raise refuse("widths", max(widths), "be at most 10^100; the largest is")
    positive(K=K)
    probability(delta=delta)
    return list(pairwise(widths))


def errors(
    layers: Sequence[tuple[int, int]], counts: Sequence[int], delta: float, K: float, pruning: str
) -> dict[str, Any]:
    """The bounds of pruned_error_bound."""
    share = delta / (2 * len(layers) - 2)
    scales = [K / math.sqrt(max(layer)) for layer in layers]
    norms = [a * (reach(*layer) + deviation(share)) for a, layer in zip(scales, layers)]
    gaps = [a * gap(r, *layer, share, pruning)
            for a, layer, r in zip(scales[1:-1], layers[1:-1], counts)]  # fmt: skip
    relative = math.fsum(math.log1p(g / N) for g, N in zip(gaps, norms[1:-1]))
    output = held("output_bound", math.prod(map(Decimal, norms)))
    return {"norm_bounds": norms, "gap_bounds": gaps, "output_bound": output,
            "error_bound": output * math.expm1(relative)}  # fmt: skip


def gap(r: int, n1: int, n2: int, delta: float, pruning: str) -> float:
    """|W - W'|/a, which fails with probability delta, where r entries are pruned.

    Given the (r+1)-th smallest size T, those of magnitude pruning are independent and U[-T, T];
    T <= theta a, and the norm's tail, fail with delta/2 each. Of random pruning they are U[-a, a].
    In any case the norm is at most T sqrt r.
    """
    if r == 0:
        return 0.0
    mean = min(reach(n1, n2), math.sqrt(r / 3))
    if pruning == "random":
        return min(mean + deviation(delta), math.sqrt(r))
    theta = order_statistic(r, n1 * n2, delta / 2)
    return theta * min(mean + deviation(delta / 2), math.sqrt(r))


def order_statistic(r: int, D: int, delta: float) -> float:
    """theta: the (r+1)-th smallest of D sizes in U[0, 1] passes it with probability <= delta.

    Chernoff's bound: D KL(r/D || theta) = ln(1/delta). Of D entries all may be pruned: theta = 1.
    """
    if r == D:
        return 1.0
    p, q, low, high = r / D, (D - r) / D, 0.0, math.log1p((D - r) / r)
    for _ in range(100):
        middle = (low + high) / 2  # ln(theta/p)
        above = math.expm1(middle)
        below = max(-above * p / q, -1 + 1e-16)
        apart = p * excess(above) + q * excess(below)
        low, high = (low, middle) if D * apart >= -math.log(delta) else (middle, high)
    return p * math.exp(high)


def excess(x: float) -> float:
    """x - ln(1 + x), >= 0, with all digits."""
    if abs(x) > 0.01:
        return x - math.log1p(x)
    return math.fsum((-x) ** k / k for k in range(2, 10))
