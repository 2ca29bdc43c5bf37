"""Is what is kept what the network multiplies with, where it computes its weights?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import prunekit
from prunekit.errors import SpecError

X, Y = torch.randn(16, 16), torch.arange(16) % 4
MASK = torch.arange(13 * 16).reshape(13, 16) % 2 == 0


class Own(nn.Module):
    """Multiplies its input with what `make` computes of its parameter."""

    def __init__(self, make: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.make = make
        self.weight = nn.Parameter(torch.randn(13, 16, generator=torch.manual_seed(0)))
        self.register_buffer("mask", MASK.float())
        self.last = nn.Linear(13, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.linear(x, self.make(self)))


class Frozen(Own):
    """Its mask is a parameter that is not trained."""

    def __init__(self, make: Callable[[Any], Tensor]) -> None:
        super().__init__(make)
        self.fixed = nn.Parameter(MASK.float(), requires_grad=False)


def filled_in_place(m: Any) -> Tensor:
    w = m.weight.clone()
    w.masked_fill_(m.mask == 0, 0)
    return w


MASKED: dict[str, Callable[[], Own]] = {
    "a buffer": lambda: Own(lambda m: m.weight * m.mask),
    "a frozen parameter": lambda: Frozen(lambda m: m.weight * m.fixed),
    "transposed": lambda: Own(lambda m: (m.weight.t() * m.mask.t()).t()),
    "in place": lambda: Own(filled_in_place),
    "where": lambda: Own(lambda m: torch.where(m.mask > 0, m.weight, torch.zeros_like(m.weight))),
    "tril": lambda: Own(lambda m: m.weight.tril()),
    "triu": lambda: Own(lambda m: torch.triu(m.weight, 1)),
    "cast": lambda: Own(lambda m: (m.weight.double() * m.mask).float()),
    "and normalized": lambda: Own(lambda m: F.normalize(m.weight * m.mask)),
}

COMPUTED: dict[str, Callable[[Any], Tensor]] = {
    "normalized": lambda m: F.normalize(m.weight),
    "divided by norms": lambda m: m.weight / m.weight.norm(dim=1, keepdim=True),
    "soft threshold": lambda m: m.weight.sign() * F.relu(m.weight.abs() - 0.01),
}


def multiplied(model: Any) -> int:
    with torch.no_grad():
        return int((model.make(model) != 0).sum() + (model.last.weight != 0).sum())


@pytest.mark.parametrize("scorer", ["magnitude", "snip"])
@pytest.mark.parametrize("case", MASKED)
@pytest.mark.filterwarnings("ignore:layer collapse")
def test_what_a_mask_of_the_models_own_prunes_is_not_counted_as_kept(
    case: str, scorer: str
) -> None:
    model = MASKED[case]()
    masks = prunekit.prune(model, scorer, density=0.3, batches=[(X, Y)])
    assert (masks.total, masks.kept, multiplied(model)) == (260, 78, 78)


def test_more_than_a_mask_of_the_models_own_leaves_cannot_be_kept() -> None:
    with pytest.raises(SpecError):
        prunekit.prune(MASKED["a buffer"](), "magnitude", density=0.8, batches=[(X, Y)])


@pytest.mark.parametrize("scorer", ["magnitude", "snip"])
@pytest.mark.parametrize("case", COMPUTED)
@pytest.mark.filterwarnings("ignore:layer collapse")
def test_weights_that_are_scaled_or_shrunk_keep_their_zeros_and_are_pruned(
    case: str, scorer: str
) -> None:
    model = Own(COMPUTED[case])
    masks = prunekit.prune(model, scorer, density=0.3, batches=[(X, Y)])
    assert (masks.kept, multiplied(model)) == (78, 78)
    assert bool(model(X).isfinite().all())


def test_a_row_divided_by_its_norm_is_not_pruned_whole() -> None:
    model = Own(COMPUTED["divided by norms"])
    with pytest.raises(SpecError, match="divided by norms"):
        prunekit.prune(model, "snip", kept=14, batches=[(X, Y)], densities=["weight=0.05"])


@pytest.mark.parametrize("make", [F.softplus, torch.exp, lambda w: w.cumsum(1), torch.softmax])
def test_weights_computed_of_all_entries_are_refused_by_name_and_no_type_that_has_others(
    make: Any,
) -> None:
    args = (1,) if make is torch.softmax else ()
    with pytest.raises(SpecError, match=r"exclude=\['weight'\]$"):
        prunekit.prune(Own(lambda m: make(m.weight, *args)), "snip", density=0.3, batches=[(X, Y)])


class Words(nn.Module):
    """Means of embeddings, of which row 3 is padding."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(20, 8, padding_idx=3), nn.Linear(8, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.last(self.words(ids).mean(1))


@pytest.mark.parametrize("allocation", ["global", "layer", "erk"])
@pytest.mark.parametrize("scorer", ["magnitude", "random"])
@pytest.mark.parametrize("density", [0.5, 0.9])
@pytest.mark.filterwarnings("ignore:layer collapse")
def test_rows_of_padding_are_not_kept(scorer: str, allocation: Any, density: float) -> None:
    model = Words()
    batch = (torch.randint(20, (16, 5)), Y)
    masks = prunekit.prune(model, scorer, density=density, allocation=allocation, batches=[batch])
    weights = model.words.weight.count_nonzero() + model.last.weight.count_nonzero()
    assert masks.kept == round(density * 192) == int(weights)


def test_rows_of_padding_are_kept_where_everything_is() -> None:
    masks = prunekit.prune(Words(), "magnitude", density=1.0)
    assert masks.kept == masks.total == 192
