"""What is no parameter, or was decided by a name alone, is told; what to type works."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import prunekit
from prunekit.cli.entry import show
from prunekit.errors import SpecError
from prunekit.network.model import Network

X, Y = torch.randn(16, 16), torch.arange(16) % 4


class Holder(nn.Module):
    """Multiplies with a matrix that it holds in one way or another."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.last = how, nn.Linear(16, 4)
        if how == "a buffer":
            self.register_buffer("matrix", torch.randn(16, 16))
        elif how == "a list":
            self.parts = [nn.Linear(16, 16)]
        elif how == "an attribute":
            self.matrix = torch.randn(16, 16)
        elif how == "scaled":
            self.kernel = nn.Parameter(torch.randn(16, 16))

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "a list":
            return self.last(self.parts[0](x))
        if self.how == "scaled":
            return self.last((x.unsqueeze(1) * self.kernel).sum(-1))
        return self.last(x @ self.matrix)


class Outer(nn.Module):
    """Its einsum over one index of length 1 is a product in torch entry by entry."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.last = nn.Parameter(torch.randn(1, 32)), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.einsum("bi,io->bo", x[:, :1], self.w))


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("a buffer", "matrix 16×16 (a buffer)"),
        ("a list", "parts.0.weight 16×16 (no parameter of the model)"),
        ("an attribute", "matrix 16×16 (no parameter of the model)"),
    ],
)
def test_a_matrix_that_is_no_parameter_is_named_and_warned_of(how: str, line: str) -> None:
    with pytest.warns(UserWarning, match="256 entries of matrices .*; only parameters are masked"):
        masks = prunekit.prune(Holder(how), "random", density=0.5, batches=[(X, Y)])
    assert masks.survey is not None
    assert [str(matrix) for matrix in masks.survey.matrices] == [line]


def test_an_einsum_over_an_index_of_length_one_multiplies() -> None:
    masks = prunekit.prune(Outer(), "random", density=0.5, batches=[(X, Y)])
    assert sorted(masks) == ["last.weight", "w"]


def test_what_a_warning_says_to_type_keeps_the_others() -> None:
    with pytest.warns(UserWarning, match=r'include=\["\*", "kernel"\] masks one too'):
        prunekit.prune(Holder("scaled"), "random", density=0.5, batches=[(X, Y)])
    masks = prunekit.prune(
        Holder("scaled"), "random", density=0.5, batches=[(X, Y)], include=["*", "kernel"]
    )
    assert sorted(masks) == ["kernel", "last.weight"]


def test_a_pattern_of_biases_is_refused_with_what_adds_them() -> None:
    with pytest.raises(SpecError, match="added by their full names"):
        prunekit.prune(Holder("a list"), "random", density=0.5, include=["*.bias"])


def test_without_a_pass_a_parameter_of_an_own_class_is_said_to_be_judged_by_name() -> None:
    with pytest.warns(UserWarning, match="kernel was decided by name; give batches"):
        Network.of(Holder("scaled"))
    with warnings.catch_warnings(action="error"):
        Network.of(nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4), nn.MultiheadAttention(4, 2)))


def test_the_command_line_shows_a_warning_in_one_line_with_its_flags(capsys: Any) -> None:
    show(UserWarning('left out: a; include=["*", "a"] masks one too'), UserWarning, "x.py", 3)
    said = "prunekit: warning: left out: a; --prune.include '*,a' masks one too\n"
    assert capsys.readouterr().err == said
