"""Monte Carlo checks of what papers A and B claim of random weights; every one takes a seed.

Chijiwa et al., https://arxiv.org/abs/2106.09269 (A), and Qian & Klabjan,
https://arxiv.org/abs/2105.10065 (B). Draws come from numpy's Philox.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from prunekit.theory.domain import (
    Floats,
    between,
    calculator,
    one_of,
    positive,
    probability,
    refuse,
    whole,
)
from prunekit.theory.exact import floor_power, held, written
from prunekit.theory.random_matrices import spectral_delta0, spectral_norm_asymptote
from prunekit.theory.resampling import even

Law = Literal["uniform", "normal"]
Part = Literal["kept", "removed"]
ENTRIES = 1 << 22
"""Random numbers held at once."""
MOST = 1 << 48
QUANTILES = (0.95, 0.99, 0.999, 0.9999)


def chunks(trials: int, entries: int) -> list[int]:
    """How many of `trials`, of `entries` numbers each, are drawn together."""
    fits(entries)
    size = max(1, ENTRIES // entries)
    return [min(size, trials - first) for first in range(0, trials, size)]


def fits(entries: int) -> None:
    """SpecError where one trial draws more numbers than any memory holds."""
    if entries > MOST:
        raise refuse("the sizes", entries, f"give at most {MOST} numbers for one trial")


def yes_or_no(replacement: object) -> None:
    """SpecError unless it is True or False."""
    if not isinstance(replacement, bool):
        raise refuse("replacement", replacement, "be True or False")


@calculator
def spectral_norm_table(
    n1: int, n2: int, K: float = 1.0, trials: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Mean, deviation and quantiles of |W|, entries from U[-K/sqrt(max), same] (B, Table 2).

    c0 is a quantile, delta0 its spectral_delta0; q9999 of 1,000 trials is no more than their
    interpolated maximum. asymptote: K(sqrt n1 + sqrt n2)/sqrt(3 max).
    n1: rows
    n2: columns
    K: scale of the weights
    trials: matrices drawn, >= 2
    seed: of the generator
    """
    whole(1, n1=n1, n2=n2)
    whole(2, trials=trials)
    whole(0, seed=seed)
    positive(K=K)
    rng = np.random.Generator(np.random.Philox(seed))
    bound, norms = 1 / math.sqrt(max(n1, n2)), []
    for count in chunks(trials, n1 * n2):
        entries = rng.uniform(-bound, bound, (count, n1, n2))
        norms.append(np.linalg.norm(entries, 2, axis=(1, 2)))
    found = np.concatenate(norms)
    table = {"mean": held("mean", K * found.mean()), "std": held("std", K * found.std(ddof=1))}
    for q in QUANTILES:
        name = f"{q:.4f}"[2:].rstrip("0")
        table[f"q{name}"] = held(f"q{name}", K * np.quantile(found, q))
        table[f"delta0_{name}"] = spectral_delta0(q, max(n1, n2))
    return {**table, "asymptote": spectral_norm_asymptote(n1, n2, K)}


@calculator
def latala_constant(
    d: int,
    dist: Law = "uniform",
    K: float = 1.0,
    alpha: float | None = None,
    trials: int = 500,
    what: Part = "kept",
    replacement: bool = True,
    seed: int = 0,
) -> dict[str, float]:
    """E|A| over Latala's bound without its constant, for a pruned d x d matrix (B, Table 3).

    Entries have variance K^2/d. C divides by moments estimated over the trials, whose maxima bias
    it down by about 0.004, as in the paper; C_exact_moments by the exact ones.
    d: rows and columns
    dist: law of an entry
    K: scale of an entry
    alpha: floor(d^(2-alpha)) entries are drawn to be pruned; none if not given
    trials: matrices drawn
    what: kept or removed, the part whose norm counts
    replacement: whether an entry may be drawn twice
    seed: of the generator
    """
    whole(1, d=d, trials=trials)
    whole(0, seed=seed)
    positive(K=K)
    one_of(Law, dist=dist)
    one_of(Part, what=what)
    yes_or_no(replacement)
    fits(d * d)
    drawn = cells_drawn(d, alpha, what)
    rng = np.random.Generator(np.random.Philox(seed))
    norms, second, fourth = [], np.zeros((d, d)), np.zeros((d, d))
    for count in chunks(trials, d * d):
        entries = draw_entries(rng, (count, d, d), dist, 1 / math.sqrt(d))
        entries *= part_mask(rng, count, d * d, drawn, replacement, what).reshape(-1, d, d)
        norms.append(np.linalg.norm(entries, 2, axis=(1, 2)))
        second += (entries**2).sum(0) / trials
        fourth += (entries**4).sum(0) / trials
    mean = float(np.concatenate(norms).mean())
    share = kept_share(drawn, d * d, replacement, what)
    exact = 2 * math.sqrt(share) + (FOURTH[dist] * share) ** 0.25
    estimated = sum(math.sqrt(second.sum(axis).max()) for axis in (0, 1)) + fourth.sum() ** 0.25
    constants = {"C": mean / float(estimated), "C_exact_moments": mean / exact}
    return {"mean_norm": held("mean_norm", mean * K), **constants, "share": share}


def cells_drawn(d: int, alpha: float | None, what: Part) -> int:
    """floor(d^(2 - alpha)), 0 without alpha; SpecError where a part would be empty."""
    if alpha is None:
        if what == "removed":
            raise refuse("what", what, "be kept where alpha is not given: nothing is removed")
        return 0
    probability(alpha=alpha)
    if d == 1:
        raise refuse("d", d, "be an int >= 2 where alpha is given; the only entry would be pruned")
    return floor_power(d, 2 - written(alpha))


FOURTH = {"uniform": 9 / 5, "normal": 3.0}
"""Fourth moment of each law over its squared variance."""


def draw_entries(
    rng: np.random.Generator, shape: tuple[int, ...], dist: Law, deviation: float
) -> Floats:
    """Entries of standard deviation `deviation`."""
    if dist == "normal":
        return rng.standard_normal(shape) * deviation
    bound = math.sqrt(3) * deviation
    return rng.uniform(-bound, bound, shape)


def part_mask(
    rng: np.random.Generator, count: int, cells: int, drawn: int, replacement: bool, what: Part
) -> np.ndarray[Any, Any]:
    """(count, cells) bool: where `drawn` cells were drawn, or for "kept" where they were not."""
    if replacement:
        hits = rng.integers(0, cells, (count, drawn))
    else:
        hits = rng.random((count, cells)).argsort(axis=1)[:, :drawn]
    removed = np.zeros((count, cells), dtype=bool)
    np.put_along_axis(removed, hits, True, axis=1)
    return removed if what == "removed" else ~removed


def kept_share(drawn: int, cells: int, replacement: bool, what: Part) -> float:
    """The share of cells in the part, on average."""
    kept = (1 - 1 / cells) ** drawn if replacement else 1 - drawn / cells
    return 1 - kept if what == "removed" else kept


@calculator
def iterand_monte_carlo(
    w: float, eps: float, delta: float, R: int, d: int, trials: int, seed: int = 0
) -> dict[str, float]:
    """How often the event in the proof of Lemma A.4 fails, and the delta it is claimed for (A).

    Halves of d neurons; in each, one neuron must have a draw of u within eps/2 of +-1 and a draw of
    v within eps/2 of +-w. iterand_event_probability is the exact value.
    w: the weight, in [-1, 1]
    eps: accuracy
    delta: claimed probability of failing
    R: draws of each element in total
    d: hidden neurons, even
    trials: networks drawn
    seed: of the generator
    """
    between(-1, 1, w=w)
    positive(eps=eps)
    probability(delta=delta)
    whole(1, R=R, trials=trials)
    whole(0, seed=seed)
    even(d)
    rng, failed = np.random.Generator(np.random.Philox(seed)), 0
    for count in chunks(trials, d * R):
        halves = []
        for sign in (1, -1):
            u, v = rng.uniform(-1, 1, (2, count, d // 2, R))
            near = np.abs(u - sign) <= eps / 2, np.abs(v - sign * w) <= eps / 2
            halves.append((near[0].any(2) & near[1].any(2)).any(1))
        failed += int((~(halves[0] & halves[1])).sum())
    return {"event_failure": failed / trials, "claimed": delta}
