"""Widths that hold a target network: Logarithmic Pruning is All You Need, and those before it.

Orseau, Hutter & Rivasplata, NeurIPS 2020, https://arxiv.org/abs/2006.12156 (theorems 3 and 30,
Lemma 1, Corollary 7); it quotes Malach et al., ICML 2020, and Pensia et al., NeurIPS 2020.
Letters: a target of depth l with layers n_{i-1} -> n_i, N* weights within [-w_max, w_max]; a random
network with M_i neurons inserted before layer i. `log` is natural; nothing has a unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from math import prod
from typing import Any, Literal

from prunekit.errors import SpecError
from prunekit.theory.domain import (
    array,
    at_least,
    calculator,
    log10,
    one_of,
    positive,
    probability,
    refuse,
    vacuous,
    whole,
)
from prunekit.theory.exact import ceiling, digits, exact, held, real

Accuracy = Literal["printed", "tight"]
Theorem = Literal["3", "3-corrected", "30", "min"]


@calculator
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
    vacuous(eps > 1, f"eps {eps} is above the largest output, 1: zeros are that accurate")

    def neurons() -> Decimal:
        n, l, e, d = exact(n_max, depth, eps, delta)  # noqa: E741
        return 64 * l**2 * n**3 / e**2 * (2 * n**2 * l / d).ln()

    per_weight = ceiling(neurons)
    layer = n_max**2 * per_weight
    return {
        "per_weight": per_weight,
        "layer": layer,
        "log10_per_weight": log10(per_weight),
        "log10_layer": log10(layer),
    }


@calculator
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
    n, l, e, c = exact(d, depth, eps, constant)  # noqa: E741
    width = real("pensia_order", lambda: c * n * (n * l / e).ln())
    vacuous(width <= 0, f"eps {eps} is not below d * depth = {d * depth}: the logarithm is <= 0")
    return width


@calculator
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
    lams = lipschitz_of(lipschitz, depth)
    if norms is not None:
        norms = array("norms", norms, 1).tolist()
        at_least(0, **{f"norms[{i}]": norm for i, norm in enumerate(norms)})
        of_layers("norms", norms, depth)
    else:
        at_least(1, norm_product=norm_product)
    e, l, n, f = exact(eps, depth, n_max, f_max)  # noqa: E741

    def accuracy() -> Decimal:
        factor = Decimal(1).exp() if form == "printed" else 1
        grown = Decimal(norm_product or 1) if norms is None else growth(norms, lams)
        return e / (factor * l * max(exact(*lams)) * n * n.sqrt() * f * grown)

    with localcontext(digits()):
        largest = n.sqrt() * f
    vacuous(e > largest, f"eps {eps} is above the largest output, {largest:.4g}")
    return real("orseau_weight_accuracy", accuracy)


def lipschitz_of(lipschitz: Any, depth: int) -> list[float]:
    """The constants > 0 of `depth` layers; where none are given [1], which stands for all."""
    if lipschitz is None:
        return [1.0]
    lams: list[float] = array("lipschitz", lipschitz, 1).tolist()
    positive(**{f"lipschitz[{i}]": lam for i, lam in enumerate(lams)})
    of_layers("lipschitz", lams, depth)
    return lams


def of_layers(name: str, values: Sequence[float], depth: int) -> None:
    """SpecError unless there is one value for each layer."""
    if len(values) != depth:
        lengths = f"{name} {len(values)}, layers {depth}"
        raise SpecError(f"{name} and layers must have one length: {lengths}")


def growth(norms: Sequence[float], lams: Sequence[float]) -> Decimal:
    """prod_i max(1, lam_i |W_i|)."""
    lams = lams if len(lams) == len(norms) else [1.0] * len(norms)
    pairs = zip(exact(*lams), exact(*norms))
    return prod((max(Decimal(1), lam * norm) for lam, norm in pairs), start=Decimal(1))


@calculator
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
    vacuous(eps_w > w_max, f"eps_w {eps_w} is above w_max {w_max}: weight 0 is that accurate")
    w, e = exact(w_max, eps_w)

    def products(times: int) -> Decimal:
        return (times * w / e).ln() / Decimal("1.5").ln()

    return {"kprime": real("kprime", lambda: products(3)), "k": ceiling(lambda: products(2))}


@calculator
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
    k, d = exact(kprime, delta)
    pairs, longer = n_out * n_in, max(n_out, n_in)
    widths = {
        "3": lambda: 16 * k * (pairs + (2 * depth * k / d).ln()),
        "3-corrected": lambda: 16 * k * (pairs + (2 * k * n_star / d).ln()),
        "30": lambda: 2 * k * (pairs + 4 * longer * (2 * k * n_star / d).ln()),
    }
    asked = ("3", "30") if theorem == "min" else (theorem,)
    width = min(ceiling(widths[one]) for one in asked)
    vacuous(width <= 0, f"k' = {kprime} asks for {width} neurons: weights of 0 are that accurate")
    return width


@calculator
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
    whole(1, **{f"widths[{i}]": width for i, width in enumerate(layer_sizes(widths))})
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
        "ratio_thm3": held("ratio_thm3", Fraction(weights, n_star)),
        "ratio_leading": held("ratio_leading", 32 * max(widths) * Fraction(bits["kprime"])),
        **sampling_law(w_max, eps_w),
    }


def layer_sizes(widths: Any) -> list[Any]:
    """`widths` if it lists two layers' sizes or more; SpecError otherwise."""
    if not isinstance(widths, list) or len(widths) < 2:
        raise refuse("widths", widths, "name at least two layers' sizes")
    return widths


def sampling_law(w_max: float, eps_w: float) -> dict[str, float]:
    """Support [alpha, beta] of the hyperbolic law whose products cover [2 eps_w/9, 2 w_max/3]."""
    with localcontext(digits()):
        low, high = 2 * Decimal(eps_w) / 9, 2 * Decimal(w_max) / 3
        q = (low * high).sqrt().sqrt()
        law = {"alpha_prime": low, "beta_prime": high, "q": q, "alpha": low / q, "beta": high / q}
    return {name: held(name, value) for name, value in law.items()}
