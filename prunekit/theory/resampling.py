"""Widths that hold a target when weights may be redrawn: the lemmas behind IteRand.

Chijiwa et al., "Pruning Randomly Initialized Neural Networks with Iterative Randomization", NeurIPS
2021, https://arxiv.org/abs/2106.09269, appendix (paper A), lemmas A.2-A.6 and Theorem A.1. All
weights and redraws come from U[-1, 1]; each element is drawn R times in total, the first included.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Literal

from prunekit.errors import SpecError
from prunekit.theory.domain import (
    between,
    calculator,
    one_of,
    positive,
    probability,
    refuse,
    vacuous,
    whole,
)
from prunekit.theory.exact import ceiling, digits, exact, expm1, held, log1p, real

Lemma = Literal["A1", "A3", "A4", "A5", "A6"]
Domain = Literal["ball", "cube"]
Repaired = Literal["printed", "corrected"]


@calculator
def iterand_min_samples(eps: float, delta: float) -> int:
    """Draws from U[-1, 1] of which one hits any value of [-1, 1] (A, Lemma A.2).

    ceil((2/eps) ln(1/delta)).
    eps: how near a draw must come
    delta: largest probability of missing
    """
    positive(eps=eps)
    probability(delta=delta)
    trivial(eps)
    e, d = exact(eps, delta)
    return ceiling(lambda: -2 / e * d.ln())


def trivial(eps: float, largest: float = 1) -> None:
    """Warn where eps is above the largest |F(x)|, which zeros do not exceed."""
    vacuous(eps > largest, f"eps {eps} is above {largest:.6g}: zeros are that accurate", depth=2)


@calculator
def iterand_width(
    lemma: Lemma,
    eps: float,
    delta: float,
    R: int,
    d_in: int = 1,
    d_out: int = 1,
    depth: int = 1,
    form: Repaired = "corrected",
    domain: Domain = "ball",
    input_dim: int | None = None,
) -> int:
    """Hidden neurons (even) so that a mask builds the target (A, lemmas A.3-A.6, Theorem A.1).

    All reduce to one weight with accuracy eta and failure theta. Printed: 2 ceil(16/(eta^2 R^2)
    ln(2/theta)), as if the R^2 pairs of a neuron's draws were independent. They share draws (A1):
    corrected 2 ceil(ln(2/theta)/-ln(1 - q^2)), q = 1 - (1 - eta/4)^R. Times d_in for A6 and A1.
    A5, A6 and A1 assume a target with |F_i|_F <= 1.
    lemma: A3 (one weight, R = 1), A4 (one weight), A5 (d_out weights), A6 (a layer), A1 (a network)
    eps: largest error of the output
    delta: largest probability of failing
    R: draws of each element in total
    d_in: inputs of the layer
    d_out: outputs of the layer
    depth: layers, l (A1)
    domain: ball (|x|_2 <= 1) or cube (|x|_inf <= 1 as printed; needs another constant: A4)
    input_dim: inputs of the network, for the cube
    """
    whole(1, R=R, d_in=d_in, d_out=d_out, depth=depth)
    positive(eps=eps)
    probability(delta=delta)
    one_of(Lemma, lemma=lemma)
    one_of(Repaired, form=form)
    one_of(Domain, domain=domain)
    if lemma == "A3" and R != 1:
        raise refuse("R", R, "be 1 in Lemma A3, which redraws nothing; A4 does")
    if domain == "cube" and lemma != "A1":
        raise refuse("domain", domain, f"be ball for {lemma}; only A1 speaks of a cube")
    check_domain(depth, eps, domain, input_dim)
    trivial(eps, d_in**0.5 if lemma == "A6" or domain == "cube" else 1)
    layers, inputs = depth if lemma == "A1" else 1, d_in if lemma in ("A1", "A6") else 1
    outputs = 1 if lemma in ("A3", "A4") else d_out

    def half() -> Decimal:
        scale = layers_scale(depth, domain, input_dim) if lemma == "A1" else Decimal(1)
        eta = Decimal(eps) / (scale * inputs * Decimal(outputs).sqrt())
        failure = (2 * layers * inputs * outputs / Decimal(delta)).ln()
        return neurons(eta, failure, R, form)

    return inputs * 2 * max(1, ceiling(half))


def neurons(eta: Decimal, failure: Decimal, draws: int, form: Repaired) -> Decimal:
    """Neurons of which one has both weights right, but for a probability of exp(-failure)."""
    if form == "printed":
        return 16 / (eta * eta * draws * draws) * failure
    q = hit(eta, draws)
    return Decimal(1) if q == 1 else failure / -log1p(-q * q)


def check_domain(depth: int, eps: float, domain: Domain, input_dim: int | None) -> None:
    """SpecError unless a network on the cube has what its constant needs."""
    if domain == "ball" or depth == 1:
        return
    if input_dim is None:
        raise SpecError("domain cube needs input_dim, the number of the network's inputs")
    whole(1, input_dim=input_dim)
    if eps > 1:
        raise refuse("eps", eps, "lie in (0, 1] for domain cube")


def layers_scale(depth: int, domain: Domain, input_dim: int | None) -> Decimal:
    """What eps is divided by so that errors of l layers add up to eps: 2 l, or more on a cube."""
    if domain == "ball" or depth == 1 or input_dim is None:
        return Decimal(2 * depth)
    return depth * (1 + Decimal(input_dim).sqrt())


def hit(eta: Decimal, draws: int) -> Decimal:
    """Probability that one of `draws` from U[-1, 1] comes within eta/2 of 1."""
    return Decimal(1) if eta >= 4 else -expm1(draws * log1p(-eta / 4))


@calculator
def iterand_resampling_threshold(
    eps: float,
    delta: float,
    d_in: int = 1,
    d_out: int = 1,
    depth: int = 1,
    form: Repaired = "corrected",
) -> float:
    """Draws R with which width 2 d_in is enough (A, Theorem A.1, last sentence).

    Printed: (8 l d_in/eps) sqrt(d_out ln(2 l d_in d_out/delta)). Corrected: ln(1 - sqrt(1 - delta/
    (2 l d_in d_out)))/ln(1 - eta/4), eta = eps/(2 l d_in sqrt(d_out)): a logarithm where a root of
    one is printed (A1).
    eps: largest error of the output
    delta: largest probability of failing
    d_in: inputs of the layer
    d_out: outputs of the layer
    depth: layers, l
    """
    whole(1, d_in=d_in, d_out=d_out, depth=depth)
    positive(eps=eps)
    probability(delta=delta)
    one_of(Repaired, form=form)
    trivial(eps)

    def draws() -> Decimal:
        e, l, n, m = exact(eps, depth, d_in, d_out)  # noqa: E741
        share, eta = Decimal(delta) / (2 * l * n * m), e / (2 * l * n * m.sqrt())
        if form == "printed":
            return 8 * l * n / e * (m * -share.ln()).sqrt()
        missed = -expm1(log1p(-share) / 2)
        return Decimal(1) if eta >= 4 else missed.ln() / log1p(-eta / 4)

    return real("iterand_resampling_threshold", draws)


@calculator
def iterand_event_probability(w: float, eps: float, d: int, R: int) -> float:
    """Probability of the event in the proof of Lemma A.4 at hidden width d (exact).

    In each half of the d neurons, one must have a draw of u within eps/2 of +-1 and a draw of v
    within eps/2 of +-w.
    w: the weight, in [-1, 1]
    eps: accuracy
    d: hidden neurons, even
    R: draws of each element in total
    """
    between(-1, 1, w=w)
    positive(eps=eps)
    even(d)
    whole(1, R=R)

    def half(weight: Decimal) -> Decimal:
        overlap = min(e / 2, 1 - weight) + min(e / 2, 1 + weight)
        pair = hit(e, R) * hit(2 * overlap, R)
        return Decimal(1) if pair >= 1 else -expm1(log1p(-pair) * d / 2)

    with localcontext(digits()):
        e, weight = exact(eps, w)
        return held("iterand_event_probability", half(weight) * half(-weight))


def even(d: int) -> None:
    """SpecError unless d is an even number of neurons: its halves serve x > 0 and x < 0."""
    whole(2, d=d)
    if d % 2:
        raise refuse("d", d, "be even")
