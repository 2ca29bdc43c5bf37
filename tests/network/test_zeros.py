"""Does a zero in the parameter stay a zero in the weight that is used?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from prunekit.network.traced import uses_of
from tests.network.test_traced import IMAGE, Made, Sign, X, made, masked_by_torch


def standardized(m: Any, x: Tensor) -> Tensor:
    w = m.weight
    w = (w - w.mean((1, 2, 3), keepdim=True)) / w.std((1, 2, 3), keepdim=True) * m.gain
    return F.conv2d(x, w)


def straight_through(m: Any, x: Tensor) -> Tensor:
    return F.linear(x, m.kernel + (m.kernel.sign() - m.kernel).detach())


class Adapter(nn.Module):
    """W + B A, as low-rank adapters are written as a parametrization."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = made((1, 4)), made((3, 1))

    def forward(self, w: Tensor) -> Tensor:
        return w + self.b @ self.a


def adapted() -> nn.Module:
    layer = nn.Linear(4, 3)
    parametrize.register_parametrization(layer, "weight", Adapter())
    return layer


LOST: dict[str, tuple[Callable[[], nn.Module], Tensor, set[bool]]] = {
    "standardized": (
        lambda: Made(standardized, weight=(2, 3, 3, 3), gain=(2, 1, 1, 1)), IMAGE, {False},
    ),
    "cayley": (
        lambda: parametrizations.orthogonal(nn.Linear(4, 4), orthogonal_map="cayley"), X, {False},
    ),
    "exponential": (
        lambda: parametrizations.orthogonal(nn.Linear(4, 4), orthogonal_map="matrix_exp"),
        X,
        {False},
    ),
    "householder": (
        lambda: parametrizations.orthogonal(nn.Linear(4, 3), orthogonal_map="householder"),
        X,
        {False},
    ),
    "an adapter": (adapted, X, {False, True}),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Linear(4, 3)), X, {True}),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Linear(4, 3)), X, {True}),
    "a mask": (masked_by_torch, X, {True}),
    "quantized, straight through": (lambda: Made(straight_through, kernel=(3, 4)), X, {True}),
    "a sign": (lambda: Made(lambda m, x: F.linear(x, Sign.apply(m.w)), w=(3, 4)), X, {True}),
    "rotated": (
        lambda: Made(lambda m, x: F.linear(x, m.w @ m.turn), w=(3, 4), turn=torch.eye(4)),
        X,
        {False},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOST)
def test_zeros_reach_the_operand_or_they_do_not(case: str) -> None:
    build, x, expected = LOST[case]
    model = build()
    uses = uses_of(model, lambda: model(x))
    assert {use.zeros for use in uses.values() if use.operand} == expected
