"""The mask of Theorem 30: a pair's unused neurons are recycled for the next pair (Algorithm 1).

Orseau, Hutter & Rivasplata, "Logarithmic Pruning is All You Need", appendix D. For each index d of
the larger side a pool of m neurons serves the pairs (d + j mod n_larger, j), 0-based, one after the
other: kept neurons leave and fresh ones fill the pool to m again; the others lose the two weights
that were looked at, which no later pair of this pool asks for. The pools of all d are independent;
here they advance together.
"""

from __future__ import annotations

import math

import numpy as np

from prunekit.theory.greedy import step
from prunekit.theory.hyperbolic import Ints, RandomLayer
from prunekit.theory.search import Demands, Searched

AT_ONCE = 2**19
"""Neurons looked at in one step, at most."""


def pool(kprime: float, n_star: int, delta: float) -> int:
    """m = ceil(8 k' ln(2 k' N* / delta)): enough for each category of one pair to be there."""
    return math.ceil(8 * kprime * math.log(2 * kprime * n_star / delta))


def search(layer: RandomLayer, demands: Demands, m: int) -> Searched:
    """Find neurons for all pairs of a layer; neurons are numbered as they are sampled."""
    larger, together = max(demands.matrix.shape), max(1, AT_ONCE // m)
    sampled, missing = 0, 0
    for start in range(0, larger, together):
        indices = np.arange(start, min(start + together, larger))
        sampled, stuck = _pools(layer, demands, indices, m, sampled)
        missing += stuck
    return Searched(demands, sampled, missing)


def _pools(
    layer: RandomLayer, demands: Demands, indices: Ints, m: int, sampled: int
) -> tuple[int, int]:
    """Serve the pairs of some d; the neurons sampled so far, and the branches left without."""
    (n_out, n_in), negative, missing = demands.matrix.shape, demands.negative, 0
    neurons = sampled + np.arange(len(indices) * m).reshape(-1, m)
    sampled += neurons.size
    free = np.ones(neurons.shape, bool)
    for j in range(min(n_out, n_in)):
        large, small = (indices + j) % max(n_out, n_in), np.full_like(indices, j)
        outputs, inputs = (large, small) if n_out >= n_in else (small, large)
        pairs = outputs * n_in + inputs
        into = layer.words("in", neurons, inputs[:, None])
        out = layer.words("out", neurons, outputs[:, None])
        outcome = step(layer, into, out, free, negative[pairs], demands.rest[pairs])
        demands.keep(outcome, pairs, neurons[outcome.rows, outcome.columns])
        missing += int(outcome.stuck.sum())
        if j + 1 < min(n_out, n_in):
            fresh = sampled + np.arange(len(outcome.columns))
            neurons[outcome.rows, outcome.columns] = fresh
            sampled += len(fresh)
    return sampled, missing
