"""Pruning a given network: masks that are random, by magnitude, or of whole 2-D kernels.

Paper B: Qian & Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065, section 4 and appendix C. A mask is bool, True = kept; of the
D = d_k d_{k-1} entries of a layer N = floor(D^(1 - alpha)) are pruned, none of the first and last
layer. In a run the same masks come from `--sampler random`, `--sampler kernels`, and `--scorer
magnitude` with `--prune.allocation layer` or `global`. Needs numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from prunekit.errors import SpecError
from prunekit.theory.domain import array, plain, probability, refuse, whole
from prunekit.theory.exact import floor_power, written


def pruned_count(d_k: int, d_km1: int, alpha: float) -> int:
    """floor((d_k d_{k-1})^(1 - alpha)): entries that paper B prunes in a layer.

    d_k, d_km1: widths >= 1. alpha: in (0, 1); larger prunes less. The paper calls this share the
    compression ratio and defines that as the share kept (erratum B2): what is returned is pruned.
    Exact: alpha is the decimal that it prints as, .3 is 3/10, or a Fraction.
    """
    d_k, d_km1 = plain([d_k, d_km1])
    whole(1, d_k=d_k, d_km1=d_km1)
    probability(alpha=plain(alpha))
    return floor_power(d_k * d_km1, 1 - decimal_of(alpha))


def decimal_of(number: Any) -> Fraction:
    """A number as the decimal that it prints as in its own type: .3 is 3/10, also in float32."""
    if isinstance(number, Fraction | Decimal):
        return Fraction(number)
    if hasattr(number, "detach"):
        number = number.detach().cpu()
        number = number.float() if number.element_size() < 4 else number  # numpy has no bfloat16
    return written(np.asarray(number).reshape(-1)[0])


def random_mask(
    shape: Sequence[int], n: int, replacement: bool = True, seed: int = 0
) -> np.ndarray[Any, Any]:
    """A mask without the entries that `n` uniform draws hit (B, section 4).

    replacement=True, as in the theorems: an entry may be hit twice, so the share kept is
    (1 - 1/D)^n on average, more than 1 - n/D. replacement=False: exactly n are pruned.
    """
    sizes, n = plain(shape), plain(n)
    shape = sizes if isinstance(sizes, list) else [sizes]
    whole(0, seed=seed, **{f"shape[{axis}]": length for axis, length in enumerate(shape)})
    cells = math.prod(shape)
    _check_count(n, math.inf if replacement else cells, cells)
    rng = np.random.Generator(np.random.Philox(seed))
    mask = np.ones(cells, dtype=bool)
    mask[rng.integers(cells, size=n) if replacement else rng.permutation(cells)[:n]] = False
    return mask.reshape(tuple(shape))


def magnitude_mask(W: Any, n: int) -> np.ndarray[Any, Any]:
    """The mask without the `n` entries of W smallest in size, of equal ones the first (B, sec. 4).

    W: finite numbers of any shape.
    """
    return smallest_pruned(np.abs(_finite(W, "W")), n)


def global_magnitude_masks(weights: Sequence[Any], n: int) -> list[np.ndarray[Any, Any]]:
    """Masks without the `n` entries smallest in size over all `weights`: one threshold."""
    try:
        given = list(weights)
    except TypeError:
        raise refuse("weights", weights, "be a list of matrices") from None
    sizes = [np.abs(_finite(W, "weights")) for W in given]
    if not sizes:
        raise SpecError("weights must hold at least one matrix: []")
    flat = smallest_pruned(np.concatenate([size.reshape(-1) for size in sizes]), n)
    ends = np.cumsum([size.size for size in sizes])[:-1]
    return [part.reshape(size.shape) for part, size in zip(np.split(flat, ends), sizes)]


def kernel_l1_mask(F: Any, n: int) -> dict[str, np.ndarray[Any, Any]]:
    """Prune the `n` 2-D kernels of F with the smallest L1 norm (B, appendix C.2).

    F: filters (d', d, q, q). Returns `scores` (d', d), sum_{i,j} |F_{s,t,i,j}|, and `mask` (d', d)
    bool, which repeats over q x q. The circulant matrices have p^2 times these norms: same order.
    The paper's "m-th largest" in C.1 should be the smallest (erratum B8).
    """
    filters = _finite(F, "F")
    if filters.ndim != 4:
        raise SpecError(f"F must have the shape (d', d, q, q): {filters.shape}")
    with np.errstate(over="ignore"):
        scores = np.abs(filters).sum(axis=(2, 3))
    if not np.isfinite(scores).all():
        raise refuse("F", float(np.abs(filters).max()), "have L1 norms below 1e308; it reaches")
    return {"scores": scores, "mask": smallest_pruned(scores, n)}


def smallest_pruned(scores: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    """A mask of the scores' shape without the `n` smallest, of equal ones the first."""
    n = plain(n)
    _check_count(n, scores.size, scores.size)
    mask = np.ones(scores.size, dtype=bool)
    mask[np.argsort(scores.reshape(-1), kind="stable")[:n]] = False
    return mask.reshape(scores.shape)


def _check_count(n: int, most: float, cells: int) -> None:
    if cells < 1:
        raise SpecError("the shape must have at least one entry: 0")
    whole(0, n=n)
    if n > most:
        raise SpecError(f"n must lie in [0, {most}], the entries there are: {n!r}")


def _finite(values: Any, name: str) -> np.ndarray[Any, Any]:
    return array(name, values)
