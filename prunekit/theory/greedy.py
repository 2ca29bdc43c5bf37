"""One step of both searches: many weights at once, each looking for its terms among its neurons.

Lemma 9 of "Logarithmic Pruning" (golden-ratio decomposition): for i = 1 ... k, if the rest r of
|w| is at least gamma^i w_max, subtract a product of category i. So 0 <= r <= gamma^i w_max after
step i, since gamma = 2/3 >= 1/phi; a category is used at most once.
"""

from __future__ import annotations

import attrs
import numpy as np

from prunekit.theory.hyperbolic import Bools, Floats, Ints, Law, RandomLayer, Words


@attrs.frozen
class Found:
    """What one step found: the new rests, which of them are stuck, and the neurons to keep."""

    rest: Floats
    stuck: Bools
    rows: Ints
    branches: Ints
    columns: Ints


def step(
    layer: RandomLayer, into: Words, out: Words, free: Bools, negative: Bools, rest: Floats
) -> Found:
    """Continue the decomposition of each row's weight, as far as its neurons reach.

    into, out: words of U[z, a] and V[b, z], (rows, neurons). free: neurons not yet kept, same
    shape. negative: (rows,), the target weight's sign. rest: (rows, 2), what remains of |w| in
    the branch of z_in > 0 and in that of z_in < 0.
    """
    candidates = _candidates(layer, into, out, free, negative)  # (k + 1, 2 rows), -1 for none
    values = _values(layer.law, into, out, candidates)
    left, stuck = rest.reshape(-1).copy(), np.zeros(rest.size, bool)
    taken = np.zeros(candidates.shape, bool)
    there = candidates >= 0
    bounds = layer.law.bounds()
    for i in range(_first(bounds, left), layer.law.k + 1):
        wanted = left >= bounds[i]
        wanted &= ~stuck
        np.logical_and(wanted, there[i], out=taken[i])
        stuck |= wanted ^ taken[i]
        left -= np.where(taken[i], values[i], 0.0)
    flat = taken.nonzero()
    pairs = flat[1]
    columns = candidates[flat].astype(np.int64)
    return Found(left.reshape(-1, 2), stuck.reshape(-1, 2), pairs >> 1, pairs & 1, columns)


def _first(bounds: Floats, rest: Floats) -> int:
    """The first category that any rest may need."""
    return max(1, int(np.searchsorted(-bounds, -rest.max(initial=0.0))))


def _candidates(layer: RandomLayer, into: Words, out: Words, free: Bools, negative: Bools) -> Words:
    """A free neuron's column for each category, row and branch, (k + 1, 2 rows)."""
    rows, neurons = into.shape
    keys = layer.categories(into, out, negative)
    keys *= free
    places = np.flatnonzero(keys)
    row = places // neurons
    chosen = np.full((rows, 2 * (layer.law.k + 1)), -1, np.int32)
    chosen[row, keys.reshape(-1)[places]] = places - row * neurons
    return np.ascontiguousarray(chosen.reshape(2 * rows, -1).T)


def _values(law: Law, into: Words, out: Words, candidates: Words) -> Floats:
    """|V U| of each candidate; of no meaning where there is none."""
    row = np.arange(candidates.shape[1]) >> 1
    pair = (law.magnitudes(words[row, candidates]) for words in (into, out))
    return next(pair) * next(pair)
