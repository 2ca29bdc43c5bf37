"""C: how far is a masked layer's output from the layer's, against the number of weights kept?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from prunekit.errors import SpecError
from prunekit.reports.plots import figure
from prunekit.resolve.plugins import Plugins
from prunekit.theory.domain import whole
from prunekit.theory.spread import decimals, variances
from prunekit.theory.studies.catalogue import Outcome, Progress, Row, no_progress

Floats = np.ndarray[Any, np.dtype[np.float64]]


def drawn_masks(p: Floats, s: int, trials: int, rng: np.random.Generator) -> Floats:
    """(trials, d): Algorithm 1, m_i = count_i / (s p_i) of s draws by p."""
    counts = rng.multinomial(s, p, size=trials)
    return counts / (s * np.where(p > 0, p, 1.0))


def by_score(p: Floats, s: int, trials: int, rng: np.random.Generator) -> Floats:
    return drawn_masks(p, s, trials, rng)


def uniform(p: Floats, s: int, trials: int, rng: np.random.Generator) -> Floats:
    return drawn_masks(np.full(len(p), 1 / len(p)), s, trials, rng)


def largest(p: Floats, s: int, trials: int, rng: np.random.Generator) -> Floats:
    """(1, d): 1 where p is among the s largest; nothing is random, nothing is scaled."""
    mask = np.zeros((1, len(p)))
    mask[0, np.argsort(-p, kind="stable")[:s]] = 1.0
    return mask


MASKS: Mapping[str, Callable[[Floats, int, int, np.random.Generator], Floats]] = {
    "sketch": by_score,
    "top-k": largest,
    "uniform": uniform,
}


def expected_error(X: Floats, w: Floats, p: Floats, s: int) -> float:
    """E ||X^T w - X^T (w * m)||^2 of Algorithm 1 with any p > 0: C, appendix B.2."""
    return float(variances(X, w, p, lambda: decimals(p)).sum()) / s


def sketch_error(
    progress: Progress = no_progress,
    *,
    X: Any = None,
    W: Any = None,
    sizes: Sequence[int] | None = None,
    neurons: int = 20,
    trials: int = 200,
    seed: int = 0,
) -> Outcome:
    """Relative error ||X^T w - X^T (w * m)||^2 / ||X^T w||^2 over a layer's neurons, against s.

    X: (d, n) inputs, a row a feature. W: (outputs, d); the first `neurons` rows are used. None =
    the first layer of a small network and 200 digits. sizes: s, weights drawn for a neuron; None
    = d/16, d/8, ..., d. Masks: sketch (Algorithm 1 with eq. 2), uniform (Algorithm 1 with p = 1/d;
    both with replacement and scaled) and top-k of eq. 2 (exactly s, not scaled: biased, so no
    lemma of the paper covers it). "expected" is the exact mean (Lemma 4.1, corrected: C1), "se" the
    standard error of the measured one.
    """
    inputs, weights = _layer(X, W)
    whole(1, neurons=neurons)
    whole(2, trials=trials)
    whole(0, seed=seed)
    weights = weights[:neurons]
    d = inputs.shape[0]
    counts = list(sizes or sorted({max(1, d // divisor) for divisor in (16, 8, 4, 2, 1)}))
    whole(1, **{f"sizes[{i}]": s for i, s in enumerate(counts)})
    rng, rows = np.random.default_rng(seed), list[Row]()
    for index, s in enumerate(counts):
        for name in MASKS:
            rows.append(_measured(name, inputs, weights, s, trials, rng))
        progress(index + 1, len(counts))
    return rows, _plot(rows)


def _measured(
    name: str, X: Floats, W: Floats, s: int, trials: int, rng: np.random.Generator
) -> Row:
    means, expected, variances = [], [], []
    norms = np.sqrt(np.square(X).sum(axis=1))
    gram = X @ X.T
    for w in W:
        p = norms * np.abs(w)
        if not p.sum() > 0:
            raise SpecError("W has a row whose every weight meets a zero input or is zero")
        p, size = p / p.sum(), float(np.square(w @ X).sum())
        if not size > 0:
            raise SpecError("W has a row whose output is 0: no error is relative to it")
        apart = w * (1 - MASKS[name](p, min(s, len(w)) if name == "top-k" else s, trials, rng))
        errors = np.einsum("ti,ij,tj->t", apart, gram, apart, optimize=True) / size
        means.append(errors.mean())
        variances.append(errors.var(ddof=1) / len(errors) if len(errors) > 1 else 0.0)
        law = {"sketch": p, "uniform": np.full(len(p), 1 / len(p))}.get(name)
        expected.append(errors.mean() if law is None else expected_error(X, w, law, s) / size)
    return {"masks": name, "s": s, "error": float(np.mean(means)),
            "se": float(np.sqrt(np.sum(variances)) / len(W)),
            "expected": float(np.mean(expected))}  # fmt: skip


def _plot(rows: Sequence[Row]) -> Any:
    drawn = figure(5, 3.5)
    axes = drawn.subplots()
    for name in MASKS:
        mine = [row for row in rows if row["masks"] == name]
        axes.plot([r["s"] for r in mine], [r["error"] for r in mine], "o", label=name)
        axes.plot([r["s"] for r in mine], [r["expected"] for r in mine], "-", color="gray")
    axes.set(xscale="log", yscale="log", xlabel="s, weights drawn", ylabel="relative error")
    sizes = sorted({row["s"] for row in rows})
    axes.set_xticks(sizes, map(str, sizes))
    axes.set_xticks([], minor=True)
    axes.legend()
    return drawn


def _layer(X: Any, W: Any) -> tuple[Floats, Floats]:
    if (X is None) != (W is None):
        raise SpecError("give X and W, or none of them")
    if X is None:
        from prunekit.theory.studies.tickets import small_ticket

        values, _ = Plugins().load("digits").read_digits()
        X = values[:200].double().flatten(1).numpy().T / 16
        W = next(iter(small_ticket().initial.values()))
    inputs, weights = np.asarray(X, dtype=np.float64), np.asarray(W, dtype=np.float64)
    if inputs.ndim != 2 or weights.ndim != 2 or inputs.shape[0] != weights.shape[1]:
        raise SpecError(f"X must be (d, n), W (outputs, d): {inputs.shape}, {weights.shape}")
    if not (np.isfinite(inputs).all() and np.isfinite(weights).all()):
        raise SpecError("X and W must be finite; one holds NaN or infinity")
    return inputs, weights
