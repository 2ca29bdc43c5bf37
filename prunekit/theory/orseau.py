"""Widths that hold a target network: Logarithmic Pruning is All You Need, and those before it.

Orseau, Hutter & Rivasplata, NeurIPS 2020, https://arxiv.org/abs/2006.12156 (theorems 3 and 30,
Lemma 1, Corollary 7); it quotes Malach et al., ICML 2020, and Pensia et al., NeurIPS 2020.
Letters: a target of depth l with layers n_{i-1} -> n_i, N* weights within [-w_max, w_max]; a random
network with M_i neurons inserted before layer i. `log` is natural; nothing has a unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from prunekit.errors import SpecError
from prunekit.theory.domain import (
    array,
    at_least,
    ceil_ratio,
    log10,
    one_of,
    positive,
    probability,
    refuse,
    same_length,
    vacuous,
    whole,
)

Accuracy = Literal["printed", "tight"]
Theorem = Literal["3", "3-corrected", "30", "min"]


def malach_layer_width(n_max: int, depth: int, eps: float, delta: float) -> dict[str, float]:
    """Neurons for one weight and one layer by the first proof of the hypothesis (Malach et al.).

    64 l^2 n^3 / eps^2 * ln(2 n^2 l / delta) for each of the n^2 weights of a layer; D, section 3
    and Remark 4. Assumes |x| <= 1, spectral norms <= 1, weights within n^-1/2, n inputs each.
    n_max: the widest layer, n
    depth: layers, l
    eps: largest error of the output over the unit ball
    delta: largest probability of failing
    """
    whole(1, n_max=n_max, depth=depth)
    positive(eps=eps)
    probability(delta=delta)
    n_max, depth = int(n_max), int(depth)  # numpy's integers overflow
    logarithm = math.log(2 * n_max**2 * depth) - math.log(delta)
    per_weight = ceil_ratio([64, depth, depth, n_max, n_max, n_max, logarithm], [eps, eps])
    layer = n_max**2 * per_weight
    return {
        "per_weight": per_weight,
        "layer": layer,
        "log10_per_weight": log10(per_weight),
        "log10_layer": log10(layer),
    }


def pensia_order(d: int, depth: int, eps: float, constant: float) -> float:
    """Width by subset sums, constant * d * ln(d l / eps) (Pensia et al.).

    Only the order is known: the papers that quote it give no constant, so you must.
    d: width of the target
    depth: layers, l
    eps: largest error of the output
    constant: the factor that no paper gives
    """
    whole(1, d=d, depth=depth)
    positive(eps=eps, constant=constant)
    width = constant * d * math.log(d * depth / eps)
    vacuous(width <= 0, f"eps {eps} is above d * depth = {d * depth}: the logarithm is <= 0")
    return width


def orseau_weight_accuracy(
    eps: float,
    depth: int,
    n_max: int,
    f_max: float = 1.0,
    norms: Sequence[float] | None = None,
    lipschitz: Sequence[float] | None = None,
    norm_product: float | None = None,
    form: Accuracy = "tight",
) -> float:
    """How accurate each weight must be for an output accurate to eps (D, Lemma 1).

    eps_w = eps / (e l lam_max n_max^{3/2} f_max prod_i max(1, lam_i |W_i|)). The factor e is not
    needed (D2): `tight` leaves it out. The norms are those of the pruned network; for the target's
    own, add sqrt(n_i n_{i-1}) eps_w to each (D6).
    eps: largest error of the output
    depth: layers, l
    n_max: the widest layer
    f_max: largest entry of any layer's output
    norms: spectral norm of each layer of the pruned network
    lipschitz: Lipschitz constant of each activation; 1 if not given
    norm_product: prod_i max(1, lam_i |W_i|) itself, instead of norms
    """
    whole(1, depth=depth, n_max=n_max)
    positive(eps=eps, f_max=f_max)
    one_of(Accuracy, form=form)
    if (norms is None) == (norm_product is None):
        raise SpecError("give norms or norm_product, one of the two")
    lams = [1.0] * depth if lipschitz is None else list(lipschitz)
    positive(**{f"lipschitz[{i}]": lam for i, lam in enumerate(lams)})
    if norms is not None:
        norms = array("norms", norms, 1).tolist()
        at_least(0, **{f"norms[{i}]": norm for i, norm in enumerate(norms)})
        same_length(norms=norms, lipschitz=lams, layers=range(depth))
        norm_product = math.prod(max(1.0, lam * norm) for lam, norm in zip(lams, norms))
    assert norm_product is not None
    at_least(1, norm_product=norm_product)
    factor = math.e if form == "printed" else 1.0
    return eps / (factor * depth * max(lams) * n_max**1.5 * f_max * norm_product)


def orseau_num_bits(w_max: float, eps_w: float) -> dict[str, float]:
    """How many products build one weight: k' (real) and k = ceil(log_1.5(2 w_max/eps_w)) <= k'.

    k' = log_1.5(3 w_max / eps_w), not rounded; D, theorems 3 and 30. The k in step 2' of Theorem 3
    is inverted (D4): 35 where 39 is meant.
    w_max: largest absolute weight
    eps_w: accuracy of a weight
    """
    positive(w_max=w_max, eps_w=eps_w)
    if eps_w >= 3 * w_max:
        raise refuse("eps_w", eps_w, f"be < 3 w_max = {3 * w_max}; weight 0 is that accurate")
    base = math.log(1.5)
    ratio = math.log(w_max) - math.log(eps_w)
    return {"kprime": (math.log(3) + ratio) / base, "k": math.ceil((math.log(2) + ratio) / base)}


def orseau_layer_width(
    n_out: int,
    n_in: int,
    depth: int,
    n_star: int,
    delta: float,
    kprime: float,
    theorem: Theorem = "min",
) -> int:
    """Neurons between two layers so that pruning leaves the target (D, theorems 3 and 30).

    "3": 16 k'(n_i n_{i-1} + ln(2 l k'/delta)). Its union leaves out the pairs (in, out) and must
    count with Hall's theorem; "3-corrected" has ln(2 k' N*/delta) (D5).
    "30": 2 k'(n_i n_{i-1} + 4 max(n_i, n_{i-1}) ln(2 k' N*/delta)). "min": the smaller of 3 and 30.
    Rounded up. Weights are drawn from the hyperbolic law of `orseau_architecture`.
    n_out: outputs of the layer, n_i
    n_in: inputs of the layer, n_{i-1}
    depth: layers of the target, l
    n_star: weights of the target, N*
    delta: largest probability of failing
    kprime: products for a weight, k' of orseau_num_bits
    """
    whole(1, n_out=n_out, n_in=n_in, depth=depth, n_star=n_star)
    probability(delta=delta)
    positive(kprime=kprime)
    one_of(Theorem, theorem=theorem)
    pairs, union = int(n_out) * int(n_in), math.log(2 * kprime * n_star / delta)
    widths = {
        "3": math.ceil(16 * kprime * (pairs + math.log(2 * depth * kprime / delta))),
        "3-corrected": math.ceil(16 * kprime * (pairs + union)),
        "30": math.ceil(2 * kprime * (pairs + 4 * max(n_out, n_in) * union)),
    }
    return min(widths["3"], widths["30"]) if theorem == "min" else widths[theorem]


def orseau_architecture(
    widths: Sequence[int],
    w_max: float = 1.0,
    eps: float = 0.01,
    delta: float = 0.01,
    f_max: float = 1.0,
    norm_product: float = 1.0,
) -> dict[str, object]:
    """The whole random network for a target, and the law its weights are drawn from (D, Thm 3).

    |w| = alpha (beta/alpha)^u with u uniform and a random sign. beta may exceed w_max. M_thm3 is as
    printed, M_thm3_corrected with the union over pairs (D5), M_thm30 of Theorem 30; N_G =
    sum (n_i + n_{i-1}) M_i weights; ratio_leading = 32 n_max k' (Corollary 7).
    widths: n_0, ..., n_l
    w_max: largest absolute weight
    eps: largest error of the output
    delta: largest probability of failing
    f_max: largest entry of any layer's output
    norm_product: prod_i max(1, lam_i |W_i|)
    """
    if len(widths) < 2:
        raise refuse("widths", list(widths), "name at least two layers' sizes")
    whole(1, **{f"widths[{i}]": width for i, width in enumerate(widths)})
    depth, pairs = len(widths) - 1, list(zip(widths[1:], widths[:-1]))
    eps_w = orseau_weight_accuracy(
        eps, depth, max(widths), f_max, norm_product=norm_product, form="printed"
    )
    bits = orseau_num_bits(w_max, eps_w)
    n_star = sum(n_out * n_in for n_out, n_in in pairs)

    def neurons(theorem: Theorem) -> list[int]:
        return [
            orseau_layer_width(n_out, n_in, depth, n_star, delta, bits["kprime"], theorem)
            for n_out, n_in in pairs
        ]

    weights = sum((n_out + n_in) * m for (n_out, n_in), m in zip(pairs, neurons("3")))
    return {
        "eps_w": eps_w,
        **bits,
        "n_star": n_star,
        "M_thm3": neurons("3"),
        "M_thm3_corrected": neurons("3-corrected"),
        "M_thm30": neurons("30"),
        "M_min": neurons("min"),
        "NG_thm3": weights,
        "ratio_thm3": weights / n_star,
        "ratio_leading": 32 * max(widths) * bits["kprime"],
        **sampling_law(w_max, eps_w),
    }


def sampling_law(w_max: float, eps_w: float) -> dict[str, float]:
    """Support [alpha, beta] of the hyperbolic law whose products cover [2 eps_w/9, 2 w_max/3]."""
    low, high = 2 * eps_w / 9, 2 * w_max / 3
    q = (low * high) ** 0.25
    return {"alpha_prime": low, "beta_prime": high, "q": q, "alpha": low / q, "beta": high / q}
