"""The count of what a network multiplies with, on modules that were labelled by hand."""

from __future__ import annotations

import pytest
import torch
from operands import Weights
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import prunekit


class Positions(nn.Module):
    """A table that is added, a token, and a projection of 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.token = (nn.Parameter(torch.randn(1, n, 4)) for n in (3, 1))
        self.weight = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(len(x), -1, -1), x + self.table], 1)
        return tokens @ self.weight


class Experts(nn.Module):
    """Three experts of 4 x 5 in one parameter, two of which see an example."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Parameter(torch.randn(3, 4, 5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.bmm(x.transpose(0, 1), self.stack)


class Latents(nn.Module):
    """Learned queries (2 x 4) by a projection (4 x 4), which meet the data afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(2, 4))
        self.project = nn.Linear(4, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.project(self.queries).T


class Relative(nn.Module):
    """A table of 5 x 4, whose rows are multiplied with the data, each several times."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(5, 4))

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(3)
        rows = self.table[places[:, None] - places + 2]  # (3, 3, 4)
        return torch.einsum("bqc,qkc->bqk", x, rows)


CASES = {
    "linear": (nn.Linear(4, 3), 12),
    "convolution": (nn.Sequential(nn.Unflatten(2, (2, 2)), nn.Conv2d(3, 2, 1)), 6),
    "weight norm": (weight_norm(nn.Linear(4, 3)), 12),
    "recurrent": (nn.LSTM(4, 2, batch_first=True), 8 * 4 + 8 * 2),
    "attention": (nn.TransformerEncoderLayer(4, 2, 5, batch_first=True), 3 * 16 + 16 + 2 * 20),
    "norm": (nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4)), 16),
    "positions": (Positions(), 16),
    "experts": (Experts(), 60),
    "latents": (Latents(), 16),
    "relative positions": (Relative(), 20),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_count_is_that_of_a_label_by_hand(kind: str) -> None:
    torch.manual_seed(0)
    model, entries = CASES[kind]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    x, y = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    model.eval()
    weights = Weights.of(model, lambda: model(x), lambda: model(y))
    assert (weights.total, weights.nonzero()) == (entries, entries)


@pytest.mark.parametrize("density", [0.3, 0.05])
def test_a_pruned_weight_is_counted_as_a_zero(density: float) -> None:
    """Also where no path from input to output is left."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4)).eval()
    x, y = torch.randn(2, 4), torch.randn(2, 4)
    weights = Weights.of(model, lambda: model(x), lambda: model(y))
    prunekit.prune(model, "magnitude", density=density)
    assert (weights.total, weights.nonzero()) == (40, round(40 * density))
