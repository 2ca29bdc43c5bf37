"""A layer's mask, as the searches collect it: which neurons are kept, and what they add up to."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from prunekit.theory.greedy import Found
from prunekit.theory.hyperbolic import Bools, Floats, Ints
from prunekit.theory.target import Matrix

Numbers = npt.NDArray[np.uint32]


@attrs.define
class Demands:
    """The pairs (output b, input a) of one layer: what of each |w| is still to be made.

    A pair has two branches: neurons with U > 0, which see x_a >= 0, and those with U < 0, which
    see x_a < 0. Pair b * n_in + a.
    """

    matrix: Matrix
    negative: Bools
    """Signs, (pairs,)."""
    rest: Floats
    """(pairs, 2)."""
    neurons: list[Numbers]
    """Kept neurons, in the order they were found, and the pair that each serves."""
    pairs: list[Numbers]

    @classmethod
    def of(cls, matrix: Matrix, both: bool) -> Demands:
        """both: whether the branch of U < 0 is wanted; inputs >= 0 never reach it."""
        size = np.abs(matrix).reshape(-1, 1)
        rest = np.concatenate([size, size * both], axis=1)
        return cls(matrix, matrix.reshape(-1) < 0, rest, [], [])

    def keep(self, outcome: Found, pairs: Ints, neurons: Ints) -> None:
        """Note the outcome of a step. pairs: those of its rows. neurons: those it took."""
        self.rest[pairs] = outcome.rest
        self.neurons.append(neurons.astype(np.uint32))
        self.pairs.append(pairs[outcome.rows].astype(np.uint32))

    def made(self) -> tuple[Matrix, Matrix]:
        """The weights that the kept neurons amount to for x_a >= 0 and for x_a < 0."""
        sizes = np.abs(self.matrix)[..., None] - self.rest.reshape(*self.matrix.shape, 2)
        signed = np.sign(self.matrix)[..., None] * sizes
        return signed[..., 0], signed[..., 1]


@attrs.frozen
class LayerMask:
    """The kept neurons of a layer; all others are pruned, and all other weights of these.

    Neuron `neurons[j]` of 0 ... M - 1 keeps two weights: U[neuron, inputs[j]] into it and
    V[outputs[j], neuron] out of it. Its pair is outputs[j] * n_in + inputs[j].
    """

    neurons: Numbers
    pairs: Numbers
    n_in: int

    @classmethod
    def of(cls, demands: Demands) -> LayerMask:
        empty = [np.empty(0, np.uint32)]
        neurons, pairs = (np.concatenate(x or empty) for x in (demands.neurons, demands.pairs))
        return cls(neurons, pairs, demands.matrix.shape[1])

    @property
    def inputs(self) -> Ints:
        """int64 (kept,)."""
        return self.pairs.astype(np.int64) % self.n_in

    @property
    def outputs(self) -> Ints:
        """int64 (kept,)."""
        return self.pairs.astype(np.int64) // self.n_in


@attrs.frozen
class Searched:
    """Outcome for one layer. sampled: neurons whose weights were looked at. missing: branches of
    pairs for which no mask was found."""

    demands: Demands
    sampled: int
    missing: int
