"""Selection is exact, whatever the scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunekit.errors import SpecError
from prunekit.selection import select
from prunekit.selection.select import (
    count_above,
    kth_smallest,
    top_k,
    top_k_and_cut,
    top_k_each,
)

TYPICAL = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e-300, 1e300, -1e300, math.inf, -math.inf]
FLOATS = st.sampled_from(TYPICAL) | st.floats(allow_nan=False)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def kept_of(masks: dict[str, torch.Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def slow_top_k(
    scores: dict[str, torch.Tensor], kept: int, competing: dict[str, torch.Tensor] | None = None
) -> dict[str, list[bool]]:
    """Sort (score descending, place) and keep the first `kept`."""
    places = [
        (-value, order, place, name)
        for order, (name, score) in enumerate(scores.items())
        for place, value in enumerate(score.reshape(-1).tolist())
        if competing is None or bool(competing[name].reshape(-1)[place])
    ]
    winners = {(name, place) for *_, place, name in sorted(places)[:kept]}
    return {
        name: [(name, place) in winners for place in range(score.numel())]
        for name, score in scores.items()
    }


def same(masks: dict[str, torch.Tensor], expected: dict[str, list[bool]]) -> bool:
    return {name: mask.reshape(-1).tolist() for name, mask in masks.items()} == expected


def test_the_largest_scores_over_all_tensors_are_kept():
    masks = top_k({"a": tensor(1, 9, 3), "b": tensor(7, 2).reshape(2, 1)}, 2)
    assert masks["a"].tolist() == [False, True, False]
    assert masks["b"].tolist() == [[True], [False]]
    assert masks["b"].dtype == torch.bool


def test_of_equal_scores_the_first_tensor_then_the_first_entry_is_kept():
    masks = top_k({"a": tensor(5, 1), "b": tensor(5, 5)}, 2)
    assert same(masks, {"a": [True, False], "b": [True, False]})


def test_places_are_row_major_whatever_the_memory_layout():
    transposed = torch.tensor([[1.0, 1.0], [1.0, 1.0]]).t()
    channels_last = torch.ones(1, 2, 2, 2).to(memory_format=torch.channels_last)
    assert top_k({"a": transposed}, 2)["a"].tolist() == [[True, True], [False, False]]
    assert top_k({"a": channels_last}, 4)["a"][0, 0].all()


def test_signed_scores_and_infinities_are_in_order():
    scores = {"a": tensor(-math.inf, -2.0, -1.0, math.inf)}
    assert top_k(scores, 2)["a"].tolist() == [False, False, True, True]
    assert top_k(scores, 4)["a"].all()


def test_what_does_not_compete_is_never_kept():
    scores, competing = {"a": tensor(9, 0, 0)}, {"a": torch.tensor([False, True, True])}
    assert top_k(scores, 1, competing)["a"].tolist() == [False, True, False]
    with pytest.raises(SpecError, match="cannot keep 3 of 2 weights that compete"):
        top_k(scores, 3, competing)


def test_half_precision_and_mixed_types_are_compared_by_value():
    scores = {"a": torch.tensor([0.1], dtype=torch.float32), "b": tensor(0.1)}
    assert same(top_k(scores, 1), {"a": [True], "b": [False]})  # float32 0.1 is a bit more
    assert top_k({"a": torch.tensor([1.0, 2.0], dtype=torch.bfloat16)}, 1)["a"].tolist() == [
        False,
        True,
    ]


def test_layers_keep_their_own_counts():
    masks = top_k_each({"a": tensor(1, 2, 3), "b": tensor(30, 20)}, {"a": 2, "b": 0})
    assert same(masks, {"a": [False, True, True], "b": [False, False]})
    with pytest.raises(SpecError, match="b: cannot keep 3 of 2"):
        top_k_each({"b": tensor(30, 20)}, {"b": 3})


def test_the_kth_smallest_counts_from_one():
    values = tensor(3, -1, 2, 2).reshape(2, 2)
    assert [kth_smallest(values, k) for k in (1, 2, 3, 4)] == [-1, 2, 2, 3]


@settings(max_examples=10_000, deadline=None)
@given(st.lists(FLOATS, max_size=10), st.integers(0, 1023), st.integers(0, 10), st.floats(0, 1))
def test_exactly_the_asked_number_is_kept_whatever_the_scores(values, rivals, cut, share):
    scores = {"a": tensor(*values[:cut]), "b": tensor(*values[cut:])}
    bits = torch.tensor([rivals >> i & 1 for i in range(len(values))], dtype=torch.bool)
    competing = {"a": bits[:cut], "b": bits[cut:]}
    kept = round(share * kept_of(competing))
    masks = top_k(scores, kept, competing)
    assert kept_of(masks) == kept
    assert same(masks, slow_top_k(scores, kept, competing))


LARGE = {
    "distinct": lambda rng, n: rng.permutation(n).astype(np.float64),
    "wide": lambda rng, n: np.exp(rng.normal(0, 30, n)),
    "mostly zero": lambda rng, n: np.maximum(rng.normal(-2, 1, n), 0),
    "few values": lambda rng, n: rng.integers(0, 3, n).astype(np.float64),
    "all equal": lambda rng, n: np.zeros(n),
    "sorted float32": lambda rng, n: np.arange(n, dtype=np.float32) - n / 2,
}


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("density", [0.0, 0.001, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("rivals", [1.0, 0.6])
def test_the_bracket_changes_no_bit_of_the_answer(kind, density, rivals):
    rng, sizes = np.random.default_rng(1), (200_000, 0, 7, 100_000)
    every = LARGE[kind](rng, sum(sizes))
    pieces = np.split(every, np.cumsum(sizes)[:-1])
    scores = {str(i): torch.from_numpy(piece.copy()) for i, piece in enumerate(pieces)}
    competing = {name: torch.from_numpy(rng.random(len(s)) < rivals) for name, s in scores.items()}
    compete = torch.cat(list(competing.values())).numpy()
    kept = round(density * int(compete.sum()))
    order = np.lexsort((np.arange(every.size), -every, ~compete))
    expected = np.zeros(every.size, dtype=bool)
    expected[order[:kept]] = True
    masks = top_k(scores, kept, competing)
    assert np.array_equal(torch.cat(list(masks.values())).numpy(), expected)


@pytest.mark.parametrize("size", [9, 1 + select.FEW])
@pytest.mark.parametrize("values", [3, 10**6])
def test_a_cut_parts_the_kept_from_the_lost(size, values):
    rng = np.random.default_rng(2)
    scores = {"a": torch.from_numpy(rng.integers(0, values, size).astype(np.float64))}
    competing = {"a": torch.from_numpy(rng.random(size) < 0.7)}
    for kept in (0, 1, size // 3, int(competing["a"].sum())):
        masks, cut = top_k_and_cut(scores, kept, competing)
        chosen, rivals = scores["a"][masks["a"]], scores["a"][competing["a"] & ~masks["a"]]
        assert bool((chosen >= cut).all())
        assert bool((rivals <= cut).all())
        above = int((scores["a"][competing["a"]] > cut).sum())
        assert count_above(scores, cut, competing) == above <= kept


def test_a_bracket_that_misses_is_noticed():
    values = torch.arange(10, dtype=torch.float64)
    masks = np.empty(10, dtype=bool)
    parts = list(select._parts({"a": values}, None, masks))
    assert not select._keep(parts, 3, 7.5, 8.5)  # the third largest, 7, lies below
    assert not select._keep(parts, 3, 2.5, 5.5)  # and here above
    assert select._keep(parts, 3, 6.5, 8.5)
    assert np.flatnonzero(masks).tolist() == [7, 8, 9]
