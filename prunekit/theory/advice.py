"""How wide must a random network be to hold this target? Each theorem's answer, in one table."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from prunekit.errors import SpecError
from prunekit.theory import orseau, qian_klabjan, random_matrices, resampling
from prunekit.theory.domain import VacuousBound, log10, positive, probability, refuse, whole

LEVEL = 0.95
"""Quantile of Table 2 that delta_0 is taken from."""
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


def advise(
    widths: Sequence[int], eps: float = 0.01, delta: float = 0.01, R: int = 1
) -> list[dict[str, Any]]:
    """One row for each theorem: how many random neurons it wants for this target.

    Takes what the theorems assume: no biases, ReLU, weights within [-1, 1], spectral norms and
    inputs of norm <= 1. Paper B prunes the target's own architecture instead: its rows give the
    least width, and say whether its bound tells anything at the widths given.
    widths: n_0, ..., n_l of the target
    eps: largest error of the output
    delta: largest probability of failing
    R: draws of each weight, for IteRand
    """
    if len(widths) < 2:
        raise refuse("widths", list(widths), "name at least two layers' sizes")
    whole(1, R=R, **{f"widths[{i}]": width for i, width in enumerate(widths)})
    positive(eps=eps)
    probability(delta=delta)
    layers = list(itertools.pairwise(widths))
    rows = [
        _malach(layers, eps, delta),
        Advice("Pensia et al.", "order", [], None, "order only: constant * d ln(d l/eps)"),
        *_iterand(layers, eps, delta, R),
        *_orseau(widths, eps, delta),
        *_given(layers, eps, delta),
    ]
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


def _given(layers: Sequence[Layer], eps: float, delta: float) -> Iterator[Advice]:
    inner = layers[1:-1]
    d = min((min(layer) for layer in inner), default=0)
    if d < 3:
        why = "not covered: needs a layer between the first and last, of width >= 3"
        yield Advice("B, theorems 1 and 2", "printed", [], None, why)
        return
    alpha = min(qian_klabjan.qk_alpha_limit(d_k, d_km1) for d_km1, d_k in inner)
    names = {"B, Theorem 1 (magnitude)": _theorem1, "B, Theorem 2 (random)": _theorem2}
    for name, theorem in names.items():
        yield _judged(f"{name}, alpha = {alpha:.3g}", theorem, len(layers), eps, delta, alpha, d)


Theorem = Callable[[int, float, float, float, int], dict[str, Any]]


def _judged(
    name: str, theorem: Theorem, depth: int, eps: float, delta: float, alpha: float, d: int
) -> Advice:
    """The least width of a theorem, and whether it says anything at width d."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", VacuousBound)
            least = theorem(depth, eps, delta, alpha, d)
    except SpecError as error:
        return Advice(name, "printed", [], None, f"not covered: {error}")
    verdict = "; ".join(str(warning.message) for warning in caught)
    log = least["log10_d_min"]
    widths = [math.ceil(least["d_min"])] if log < 18 else []
    return Advice(name, "printed", widths, log, f"vacuous at {d}: {verdict}" if caught else "holds")


def _theorem1(l: int, eps: float, delta: float, alpha: float, d: int) -> dict[str, Any]:  # noqa: E741
    """Weights from U[-1/sqrt d, 1/sqrt d], c0 and delta_0 as measured in Table 2."""
    c0 = random_matrices.spectral_norm_asymptote(d, d)
    delta_0 = random_matrices.spectral_delta0(LEVEL, d)
    return qian_klabjan.qk_theorem1(l, 1.0, c0, delta_0, 1.0, eps, delta, alpha, d)


def _theorem2(l: int, eps: float, delta: float, alpha: float, d: int) -> dict[str, Any]:  # noqa: E741
    """The same weights: variance 1/(3d), fourth moment 1/(5 d^2); their norm bounds do not fail."""
    bounds = [random_matrices.spectral_norm_asymptote(d, d)] * l
    return qian_klabjan.qk_theorem2(l, 1.0, bounds, [0.0] * l, 1 / 3, 1 / 5, eps, delta, alpha, d)
