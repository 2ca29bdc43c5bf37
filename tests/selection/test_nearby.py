"""The remembered k-th value is exact, whatever it remembers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunekit import KthMemory, Nearby, SpecError, kth_smallest_each


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_exact_while_scores_drift_jump_and_tie(dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(40_000, generator=rng, dtype=dtype)
    near = Nearby()
    for step in range(40):
        values = values + 0.002 * torch.randn(values.shape, generator=rng, dtype=dtype)
        if step % 10 == 7:
            values = values * 3 + 1  # a jump out of reach
        if step == 20:
            values = values.round()  # mass ties
        for k in (1 + step * 900, 20_000):
            expected = np.partition(values.numpy(), k - 1)[k - 1]
            assert near.kth_smallest(values, k) == expected


@pytest.mark.parametrize("value", [0.0, float("inf"), 1e-300])
def test_equal_scores_are_their_own_threshold(value: float) -> None:
    values = torch.full((20_000,), value, dtype=torch.float64)
    near = Nearby()
    for k in (1, 10_000, 20_000, 5):
        assert near.kth_smallest(values, k) == value


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("count", [40, 40_000])
def test_scores_of_half_precision_have_exact_thresholds(count: int, dtype: torch.dtype) -> None:
    values = torch.randn(count, generator=torch.Generator().manual_seed(0)).to(dtype)
    near = Nearby()
    for k in (1, count // 2, count // 2 + 1, count):
        assert near.kth_smallest(values, k) == values.double().kthvalue(k).values


def test_few_scores_and_other_shapes_are_taken_as_they_are() -> None:
    assert Nearby().kth_smallest(torch.tensor([[3.0, 1.0], [2.0, 4.0]]), 2) == 2.0


def test_layers_are_ranked_each_by_its_own() -> None:
    scores = {"a": torch.tensor([3.0, 1.0, 2.0]), "b": torch.arange(40_000.0)}
    memory = KthMemory()
    for k in (1, 2, 3):
        found = kth_smallest_each(scores, {"a": k, "b": 1_000 * k}, memory)
        assert found == {"a": float(k), "b": 1_000 * k - 1}
    assert memory.nearby["b"].value == 2_999


def test_a_memory_of_another_kind_is_refused() -> None:
    with pytest.raises(SpecError, match=r"must be a prunekit\.KthMemory: dict; make one by"):
        kth_smallest_each({"a": torch.rand(3)}, {"a": 1}, {})
