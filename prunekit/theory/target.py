"""What a construction can be asked to approximate: matrices with ReLUs between, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.theory.domain import entries, real

Matrix = npt.NDArray[np.float64]

UNCOVERED = "not covered by the theorem, which is about {}"


@attrs.frozen
class Target:
    """F(x) = W_l relu(... relu(W_1 x)), and a ReLU after W_l too where `relu_last`."""

    matrices: tuple[Matrix, ...]
    """W_i, float64 (n_i, n_{i-1})."""
    relu_last: bool

    @classmethod
    def of(cls, weights: Any, name: str = "weights") -> Target:
        """The target of an nn.Sequential of Linear and ReLU, or of a list of matrices.

        A list stands for the networks of "Logarithmic Pruning", whose output has a ReLU too.
        Raises SpecError for a bias, another activation, NaN, an empty list, or shapes that do
        not follow on each other.
        """
        if isinstance(weights, nn.Module):
            return cls(*_of_modules(weights, name))
        if not isinstance(weights, Sequence | Tensor | np.ndarray):
            raise SpecError(f"{name} is {weights!r}; give matrices or an nn.Sequential")
        return cls(_checked(list(weights), name), True)

    @property
    def widths(self) -> list[int]:
        """n_0 ... n_l."""
        return [self.matrices[0].shape[1], *(len(matrix) for matrix in self.matrices)]

    @property
    def norms(self) -> list[float]:
        """The spectral norm of each W_i."""
        return [spectral_norm(matrix) for matrix in self.matrices]

    def __call__(self, x: Tensor) -> Tensor:
        """F of points, float64 (points, n_0) -> (points, n_l)."""
        for number, matrix in enumerate(self.matrices, 1):
            x = x @ torch.from_numpy(matrix).T
            if number < len(self.matrices) or self.relu_last:
                x = x.relu()
        return x


def spectral_norm(matrix: Matrix) -> float:
    """The largest singular value."""
    return float(np.linalg.norm(matrix, 2))


def _of_modules(module: nn.Module, name: str) -> tuple[tuple[Matrix, ...], bool]:
    layers = list(module) if isinstance(module, nn.Sequential) else [module]
    for index, layer in enumerate(layers):
        if not isinstance(layer, nn.Linear if index % 2 == 0 else nn.ReLU):
            raise SpecError(f"layer {index} of the target is {layer}: " + UNCOVERED.format(
                "a Linear, a ReLU, a Linear, a ReLU and so on"))  # fmt: skip
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            raise SpecError(f"layer {index} of the target has a bias: "
                            + UNCOVERED.format("networks without biases"))  # fmt: skip
    matrices = [layer.weight for layer in layers if isinstance(layer, nn.Linear)]
    return _checked(matrices, name), len(layers) % 2 == 0


def _checked(matrices: Sequence[Any], name: str) -> tuple[Matrix, ...]:
    """The matrices in float64, their shapes and values looked at."""
    if not matrices:
        raise SpecError(f"{name} is empty; a target has at least one matrix")
    checked = [_matrix(matrix, f"{name}[{index}]") for index, matrix in enumerate(matrices)]
    for index, (before, after) in enumerate(pairwise(checked), 1):
        if after.shape[1] != len(before):
            raise SpecError(f"{name}[{index}] takes {after.shape[1]} values; {name}[{index - 1}] "
                            f"gives {len(before)}. Matrices are (out, in)")  # fmt: skip
    return tuple(checked)


def _matrix(values: Any, name: str) -> Matrix:
    try:
        tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.asarray(values))
        if not all(map(real, entries(values))) or tensor.dtype is torch.bool or tensor.is_complex():
            raise TypeError(" ".join(f"{values!r:.80}".split()))
        tensor = tensor.detach().to("cpu", torch.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise SpecError(f"{name} is no matrix of numbers: {error}") from None
    if tensor.ndim != 2 or tensor.numel() == 0:
        raise SpecError(f"{name} has shape {tuple(tensor.shape)}; a matrix (out, in) is expected")
    if not tensor.isfinite().all():
        raise SpecError(f"{name} holds NaN or infinity; every weight is a finite number")
    return tensor.numpy().copy()
