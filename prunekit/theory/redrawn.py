"""Prune a random network whose weights may be redrawn: the construction of Lemma A.6.

Chijiwa et al., "Pruning Randomly Initialized Neural Networks with Iterative Randomization", NeurIPS
2021, https://arxiv.org/abs/2106.09269, appendix (paper A), lemmas A.4-A.6 and Theorem A.1.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from prunekit.draws.chance import seed_from, words_at
from prunekit.errors import SpecError
from prunekit.theory.compact import Domain, Error, compacted, error_of
from prunekit.theory.domain import Floats, calculator, one_of, positive, probability, refuse, whole
from prunekit.theory.resampling import Domain as Region
from prunekit.theory.resampling import Lemma, Repaired, iterand_width, layers_scale
from prunekit.theory.target import Matrix, Target

Ints = npt.NDArray[np.int64]
STREAM = "redrawn"
AT_ONCE = 2**20
MOST = 2**32
FORMS: tuple[Repaired, Repaired] = ("corrected", "printed")


@attrs.frozen
class RedrawnMask:
    """The kept neurons of one layer, one for each (output, input, half) that one was found for.

    neurons: numbers in 0 ... width - 1; neuron z sees only input z // (width / d_in) (the mask N),
    and the kept weight out of it goes to `outputs` (the mask M). into_draws, out_draws: which of
    the R draws of each weight is kept. All int64 (kept,); a neuron may serve several outputs.
    """

    neurons: Ints
    inputs: Ints
    outputs: Ints
    into_draws: Ints
    out_draws: Ints


@attrs.frozen
class IterandPruned:
    """A random network, redrawn R - 1 times and pruned to a target.

    module: the pruned network with its parallel neurons merged, float64; takes (points, d_in).
    success: whether a neuron was found for every (output, input, half). error: how far the module
    is from the target, Euclidean, over the domain. widths: hidden neurons per layer;
    printed_widths: those that the paper prints. eta: accuracy of each weight, per layer.
    """

    module: nn.Sequential
    masks: tuple[RedrawnMask, ...]
    success: bool
    missing: int
    error: Error
    eta: list[float]
    R: int
    widths: list[int]
    printed_widths: list[int]

    @property
    def sup_error(self) -> float:
        """The certified upper bound."""
        return self.error.certified

    @property
    def counts(self) -> dict[str, list[int]]:
        """Neurons and weights per layer."""
        used = [len(np.unique(mask.neurons)) for mask in self.masks]
        kept = [count + len(mask.neurons) for count, mask in zip(used, self.masks)]
        return {"width": self.widths, "neurons_used": used, "kept_weights": kept}


@attrs.frozen
class RedrawnLayer:
    """Weights U[-1, 1] of one hidden layer, from counters; each has R draws."""

    seed: int
    number: int
    R: int
    width: int

    def into(self, neurons: Ints) -> Floats:
        """u, (neurons, R): word (neuron, draw)."""
        return self._values("in", neurons, 0)

    def out(self, neurons: Ints, output: int) -> Floats:
        """v to one output, (neurons, R): word (neuron, output * R + draw)."""
        return self._values("out", neurons, output * self.R)

    def _values(self, side: str, neurons: Ints, first: int) -> Floats:
        elements, draws = np.repeat(neurons, self.R), np.tile(np.arange(self.R), len(neurons))
        numbers = (torch.from_numpy(x) for x in (elements, draws + first))
        words = words_at(self.seed, STREAM, f"{self.number}.{side}", *numbers)
        return ((words.numpy() + 0.5) * 2.0**-31).reshape(len(neurons), self.R)


@calculator
def iterand_construct(
    W: Any,
    eps: float,
    delta: float = 0.05,
    R: int = 1,
    width: int | None = None,
    generator: torch.Generator | None = None,
    *,
    domain: Domain = "unit_cube",
) -> IterandPruned:
    """Find in a random network with R draws of each weight one within eps of W (A, Lemma A.6).

    f(x) = W x is made by a hidden layer: each input has a block of neurons of its own; for each
    output, one neuron of the block's first half has a draw of u within eta/2 of 1 and a draw of v
    within eta/2 of w, and one of the second half draws near -1 and -w; eta = eps / (d_in
    sqrt(d_out)). The first acts for x_a >= 0, the second for x_a < 0. Of the neurons and draws
    that fit, those whose product is nearest to w are kept.

    W: a matrix (d_out, d_in), or for Theorem A.1 several in a list or an nn.Sequential of Linear
        (bias=False) and ReLU, with eta of the theorem. |w| <= 1; with several layers Frobenius
        norms <= 1.
    width: hidden neurons of each layer, an even number for each input. Default: the corrected
        width (A1), with which no neuron is missing with probability >= 1 - delta.
    domain: "unit_cube", of Lemma A.6, or "unit_ball"; Theorem A.1 holds as printed on the latter
        only, on the former with another constant (A4).
    """
    positive(eps=eps)
    probability(delta=delta)
    whole(1, R=R)
    one_of(Domain, domain=domain)
    target = _target(W)
    seed = seed_from(generator)
    region: Region = "cube" if len(target.matrices) > 1 and domain == "unit_cube" else "ball"
    corrected, printed = (_needed(target, eps, delta, R, region, form) for form in FORMS)
    widths = corrected if width is None else [_width(width, n) for n in target.widths[:-1]]
    if max(widths) > MOST:
        asked = f"eps {eps} asks for {Decimal(max(widths)):.3e} neurons"
        raise SpecError(f"{asked}; at most {MOST} have numbers. Raise eps")
    eta = _accuracies(target, eps, region)
    layers = [RedrawnLayer(seed, number, R, size) for number, size in enumerate(widths)]
    pruned = [_layer(*one) for one in zip(layers, target.matrices, eta)]
    made = [(plus, minus) for _, plus, minus in pruned]
    module = compacted(made, target.relu_last)
    masks = tuple(mask for mask, _, _ in pruned)
    missing = sum(2 * matrix.size for matrix in target.matrices) - sum(
        len(m.neurons) for m in masks
    )
    error = error_of(target, made, module, domain, seed)
    return IterandPruned(module, masks, missing == 0, missing, error, eta, R, widths, printed)


def _target(W: Any) -> Target:
    """The target, looked at for what the lemmas assume."""
    matrix = (
        isinstance(W, list | tuple | torch.Tensor | np.ndarray) and len(W) and np.ndim(W[0]) == 1
    )
    target = Target.of([W] if matrix else W, "W")
    if not isinstance(W, nn.Module):
        target = attrs.evolve(target, relu_last=False)
    for index, weights in enumerate(target.matrices):
        if np.abs(weights).max() > 1:
            largest = np.abs(weights).max()
            raise SpecError(f"W[{index}] has a weight of {largest:.6g}; |w| <= 1 is expected")
        norm = float(np.linalg.norm(weights))
        if len(target.matrices) > 1 and norm > 1 + 1e-6:
            raise SpecError(f"W[{index}] has Frobenius norm {norm:.6g}; Theorem A.1 needs <= 1")
    return target


def _needed(
    target: Target, eps: float, delta: float, R: int, region: Region, form: Repaired
) -> list[int]:
    """Hidden neurons for each layer: by Lemma A.6 for one layer, by Theorem A.1 for several."""
    depth, inputs = len(target.matrices), target.widths[0]
    lemma: Lemma = "A6" if depth == 1 else "A1"
    return [
        iterand_width(lemma, eps, delta, R, d_in, d_out, depth, form, region, inputs)
        for d_out, d_in in (matrix.shape for matrix in target.matrices)
    ]


def _accuracies(target: Target, eps: float, region: Region) -> list[float]:
    """eta of each layer: how near its weights must come."""
    depth, inputs = len(target.matrices), target.widths[0]
    scale = 1.0 if depth == 1 else float(layers_scale(depth, region, inputs))
    shapes = (matrix.shape for matrix in target.matrices)
    return [eps / (scale * d_in * math.sqrt(d_out)) for d_out, d_in in shapes]


def _width(width: int, d_in: int) -> int:
    whole(1, width=width)
    if width % (2 * d_in):
        raise refuse("width", width, f"be a multiple of 2 d_in = {2 * d_in}")
    return width


def _layer(layer: RedrawnLayer, matrix: Matrix, eta: float) -> tuple[RedrawnMask, Matrix, Matrix]:
    """The mask of one layer, and what it makes of x_a >= 0 and of x_a < 0."""
    made, rows = np.zeros((2, *matrix.shape)), []
    half = layer.width // (2 * matrix.shape[1])
    for block in range(2 * matrix.shape[1]):
        a, sign = block // 2, 1 - 2 * (block % 2)
        neurons, draws, u = _near(layer, block * half, half, sign, eta)
        for b, w in enumerate(matrix[:, a]):
            kept = _partner(layer, neurons, u, b, float(w), sign, eta)
            if kept is not None:
                index, draw, made[block % 2, b, a] = kept
                rows.append((neurons[index], a, b, draws[index], draw))
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    return RedrawnMask(*columns), made[0], made[1]


def _near(
    layer: RedrawnLayer, start: int, half: int, sign: int, eta: float
) -> tuple[Ints, Ints, Floats]:
    """Neurons of a half-block with a draw of u within eta/2 of `sign`; that draw and its value."""
    parts = []
    size = max(1, AT_ONCE // layer.R)
    for first in range(start, start + half, size):
        neurons = np.arange(first, min(first + size, start + half))
        u = layer.into(neurons)
        draws = np.abs(u - sign).argmin(1)
        best = u[np.arange(len(u)), draws]
        near = np.abs(best - sign) <= eta / 2
        parts.append((neurons[near], draws[near], best[near]))
    neurons, draws, u = (np.concatenate(column) for column in zip(*parts))
    return neurons, draws, u


def _partner(
    layer: RedrawnLayer, neurons: Ints, u: Floats, output: int, w: float, sign: int, eta: float
) -> tuple[int, int, float] | None:
    """(index, draw of v, u v) of the neuron that makes w best, among those within eta/2."""
    v = layer.out(neurons, output)
    errors = np.where(np.abs(v - sign * w) <= eta / 2, np.abs(w - u[:, None] * v), np.inf)
    if not np.isfinite(errors).any():
        return None
    index, draw = divmod(int(errors.argmin()), layer.R)
    return index, draw, float(u[index] * v[index, draw])
