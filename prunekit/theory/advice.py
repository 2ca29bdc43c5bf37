"""How wide must a random network be to hold this target? Each theorem's answer, in one table."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from prunekit.errors import SpecError
from prunekit.theory import orseau, qian_klabjan, resampling, uniform_norms
from prunekit.theory.domain import (
    VacuousBound,
    calculator,
    listed,
    log10,
    positive,
    probability,
    refuse,
    vacuous,
    whole,
)

WIDEST = 10**7
"""A width above which none is worth printing."""
Layer = tuple[int, int]


@attrs.frozen
class Advice:
    """What one theorem asks for: neurons before each layer (or one least width), and a verdict."""

    theorem: str
    form: str
    widths: list[int]
    log10_width: float | None
    verdict: str

    def row(self) -> dict[str, Any]:
        """As one row of a table; widths is empty where no float or int is worth printing."""
        return {
            "theorem": self.theorem,
            "form": self.form,
            "widths": self.widths,
            "log10": self.log10_width,
            "verdict": self.verdict,
        }


@calculator
def advise(
    widths: Sequence[int], eps: float = 0.01, delta: float = 0.01, R: int = 1
) -> list[dict[str, Any]]:
    """One row for each theorem: how many random neurons it wants for this target.

    Takes what the theorems assume: no biases, ReLU, weights within [-1, 1], spectral norms and
    inputs of norm <= 1. Paper B prunes the target's own architecture, with random weights, instead:
    its rows say whether a theorem covers these widths and tells anything of them, the least width
    with proved constants where it is below 10^7, and how much may go by uniform_norms' bounds.
    widths: n_0, ..., n_l of the target
    eps: largest error of the output
    delta: largest probability of failing
    R: draws of each weight, for IteRand
    """
    if len(listed("widths", widths)) < 2:
        raise refuse("widths", list(widths), "name at least two layers' sizes")
    whole(1, R=R, **{f"widths[{i}]": width for i, width in enumerate(widths)})
    positive(eps=eps)
    probability(delta=delta)
    layers = list(itertools.pairwise(widths))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", VacuousBound)
        rows = [
            _malach(layers, eps, delta),
            Advice("Pensia et al.", "order", [], None, "order only: constant * d ln(d l/eps)"),
            *_iterand(layers, eps, delta, R),
            *_orseau(widths, eps, delta),
            *_given(widths, eps, delta),
        ]
    said = dict.fromkeys(str(warning.message) for warning in caught)
    vacuous(bool(said), "; ".join(said))
    return [row.row() for row in rows]


def _held(theorem: str, form: str, widths: list[int], note: str) -> Advice:
    return Advice(theorem, form, widths, log10(max(widths)), note)


def _malach(layers: Sequence[Layer], eps: float, delta: float) -> Advice:
    n_max = max(max(layer) for layer in layers)
    width = orseau.malach_layer_width(n_max, len(layers), eps, delta)["layer"]
    return _held("Malach et al. (D, Remark 4)", "printed", [int(width)] * len(layers), "holds")


def _iterand(layers: Sequence[Layer], eps: float, delta: float, R: int) -> Iterator[Advice]:
    for form, verdict in (("printed", "proof fails (A1)" if R > 1 else "holds"), ("corrected", "")):
        widths = [
            resampling.iterand_width(
                "A1", eps, delta, R, d_in, d_out, len(layers),
                "printed" if form == "printed" else "corrected",
            )
            for d_in, d_out in layers
        ]  # fmt: skip
        yield _held(f"A, Theorem A.1, R = {R:,}", form, widths, verdict or "holds")
    most = max(
        resampling.iterand_resampling_threshold(eps, delta, d_in, d_out, len(layers))
        for d_in, d_out in layers
    )
    twice = [2 * d_in for d_in, _ in layers]
    yield _held(f"A, Theorem A.1, R = {math.ceil(most):,}", "corrected", twice, "holds")


def _orseau(widths: Sequence[int], eps: float, delta: float) -> Iterator[Advice]:
    architecture: dict[str, Any] = orseau.orseau_architecture(widths, eps=eps, delta=delta)
    yield _held("D, Theorem 3", "printed", architecture["M_thm3"], "proof has a gap (D5)")
    yield _held("D, Theorem 3", "corrected", architecture["M_thm3_corrected"], "holds")
    yield _held("D, Theorem 30", "printed", architecture["M_thm30"], "holds")


def _given(widths: Sequence[int], eps: float, delta: float) -> Iterator[Advice]:
    """Paper B prunes the target itself, its weights drawn from U[-1, 1]/sqrt(max width)."""
    inner = list(itertools.pairwise(widths))[1:-1]
    d = min(widths[1:-1], default=0)
    if not inner or d < 3:
        why = "not covered: needs a layer between the first and last, of width >= 3"
        yield Advice("B, theorems 1 and 2", "printed", [], None, why)
        return
    alpha = min(qian_klabjan.alpha_limit(d_k, d_km1) for d_km1, d_k in inner)
    outer = max(widths[0], widths[-1])
    said = f"not covered: assumption (ii), width {d} < {outer}; " if d < outer else ""
    methods: list[tuple[str, uniform_norms.Pruning, Theorem]] = [
        ("B, Theorem 1", "magnitude", theorem1_at), ("B, Theorem 2", "random", theorem2_at)
    ]  # fmt: skip
    for name, pruning, theorem in methods:
        asked = widths, eps, delta, alpha
        verdict = f"{said}{verdict_of(theorem, *asked, d, outer)}; {direct(*asked[:3], pruning)}"
        least = least_width(*asked) if theorem is theorem1_at else None
        row = f"{name} ({pruning}), alpha = {alpha:.3g}"
        form = "corrected" if theorem is theorem1_at else "printed"
        yield Advice(row, form, [least] if least else [], least and log10(least), verdict)


Theorem = Callable[[Sequence[int], float, float, float, int], dict[str, Any]]


def verdict_of(
    theorem: Theorem, widths: Sequence[int], eps: float, delta: float, alpha: float, d: int,
    outer: int,
) -> str:  # fmt: skip
    """What a theorem says of these widths, whose least inner one is d."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", VacuousBound)
            found = theorem(widths, eps, delta, alpha, d)
    except SpecError as error:
        return f"not covered: {error}"
    if caught:
        return f"vacuous at {d}: {'; '.join(str(warning.message) for warning in caught)}"
    if theorem is theorem2_at:
        return "not proved: Latala's constant is unknown"
    return "holds" if d >= max(found["d_min"], outer) else f"too narrow at {d}"


def direct(widths: Sequence[int], eps: float, delta: float, pruning: uniform_norms.Pruning) -> str:
    """How many of the inner weights may go by the bounds of `uniform_norms`, at these widths."""
    cells = sum(map(math.prod, list(itertools.pairwise(widths))[1:-1]))
    try:
        counts = uniform_norms.prunable_counts(widths, eps, delta, pruning=pruning)
    except SpecError as error:
        return f"nothing is proved at these widths: {error}"
    return f"proved at these widths: {sum(counts):,} of {cells:,} inner weights may go"


def theorem1_at(
    widths: Sequence[int], eps: float, delta: float, alpha: float, d: int
) -> dict[str, Any]:
    """Theorem 1 with proved constants: c0 so large that norms pass it rarely enough at width d."""
    l = len(widths) - 1  # noqa: E741
    delta_0 = math.log((l * l - 2) / delta) / (4 * d) * (1 + 1e-9)
    c0 = math.sqrt(math.pi / 2) + 4 * math.sqrt(delta_0 / math.pi)
    return qian_klabjan.qk_theorem1(
        l, 1.0, c0, delta_0, 1.0, eps, delta, alpha, d, form="corrected"
    )


def least_width(widths: Sequence[int], eps: float, delta: float, alpha: float) -> int | None:
    """The least inner width for which Theorem 1 holds; None where it is above WIDEST, or none."""
    outer = max(3, widths[0], widths[-1])

    def narrow(more: int) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VacuousBound)
            d = outer + more - 1
            return d < theorem1_at(widths, eps, delta, alpha, d)["d_min"]

    if not 0 < alpha < 1:
        return None
    least = outer + uniform_norms.last_true(lambda more: more == 0 or narrow(more), WIDEST)
    return least if least <= WIDEST else None


def theorem2_at(
    widths: Sequence[int], eps: float, delta: float, alpha: float, d: int
) -> dict[str, Any]:
    """Theorem 2 with norm bounds that fail with half of delta, and 1, the least C_latala.

    The weights have variance 1/(3d) and fourth moment 1/(5 d^2). With a larger constant it
    promises less: what is vacuous here is vacuous, but nothing is proved.
    """
    l = len(widths) - 1  # noqa: E741
    share = delta / (2 + l * (l - 1))
    bounds = [max(1.0, uniform_norms.uniform_norm_bound(*layer, share))
              for layer in itertools.pairwise(widths)]  # fmt: skip
    return qian_klabjan.qk_theorem2(l, 1.0, bounds, [share] * l, 1 / 3, 1 / 5, eps, delta, alpha, d)
