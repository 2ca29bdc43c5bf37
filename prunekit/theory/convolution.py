"""A convolution as a matrix, and its spectral norm without that matrix (paper B, Lemma 7).

Qian & Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065: stride 1, circular padding. Kernels F (d', d, q, q), maps p x p.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from prunekit.theory.domain import Floats, array, calculator, refuse, whole
from prunekit.theory.spread import unit

if TYPE_CHECKING:
    from torch import Tensor


@calculator
def conv_operator_norm(F: Any, p: int) -> float:
    """Spectral norm of a circular convolution (B, Lemma 7; exact).

    The largest norm of a (d', d) matrix, over the p x p frequencies of the kernels' Fourier
    transform. Frequencies (u, v) and (-u, -v) have conjugate matrices: half of them are enough.
    F: kernels (d', d, q, q): nested lists, an array or a tensor
    p: rows and columns of the maps, >= q
    """
    kernels = checked(F, p)
    kernels, exponent = unit(kernels)
    spectrum = np.fft.rfft2(kernels, s=(p, p), axes=(2, 3)).transpose(2, 3, 0, 1)
    return math.ldexp(float(np.linalg.norm(spectrum, 2, axis=(2, 3)).max()), exponent)


@calculator
def conv_operator_matrix(F: Any, p: int) -> Tensor:
    """The matrix of a circular convolution, float64 (d' p^2, d p^2); for tests (B, (8) and (9)).

    Y[s, a, b] = sum over t, i, j of X[t, (a + i) % p, (b + j) % p] F[s, t, i, j].
    F: kernels (d', d, q, q): nested lists, an array or a tensor
    p: rows and columns of the maps, >= q
    """
    import torch

    kernels = checked(F, p)
    out, into, q, _ = kernels.shape
    matrix = np.zeros((out, p, p, into, p, p))
    a, b = np.ogrid[:p, :p]
    for i in range(q):
        for j in range(q):
            matrix[:, a, b, :, (a + i) % p, (b + j) % p] += kernels[:, :, i, j]
    return torch.from_numpy(matrix.reshape(out * p * p, into * p * p))


def checked(F: Any, p: int) -> Floats:
    """The kernels as float64 (d', d, q, q), square and no larger than the map."""
    kernels = array("F", F, 4)
    whole(1, p=p)
    if kernels.shape[2] != kernels.shape[3]:
        raise refuse("F", kernels.shape, "hold square kernels; its shape is")
    if p < kernels.shape[2]:
        raise refuse("p", p, f"be >= q = {kernels.shape[2]}, the size of a kernel")
    return kernels
