"""Selection beside the CPU keeps what selection on the CPU keeps, whatever the scores."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunekit import top_k
from prunekit.draws.chance import generator
from prunekit.errors import SpecError
from prunekit.selection import select_device

TYPICAL = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e300, -1e300, math.inf, -math.inf]
FLOATS = st.sampled_from(TYPICAL) | st.floats(allow_nan=False)


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    assert all(mask.dtype == torch.bool for mask in found.values())
    return {n: m.tolist() for n, m in found.items()} == {n: m.tolist() for n, m in expected.items()}


@settings(max_examples=1_000, deadline=None)
@given(
    st.lists(FLOATS, min_size=1, max_size=10),
    st.integers(0, 1023),
    st.integers(0, 10),
    st.floats(0, 1),
    st.sampled_from([torch.float64, torch.float32]),
    st.booleans(),
)
def test_both_keep_the_same(values, rivals, cut, share, dtype, all_compete):
    scores = {"a": torch.tensor(values[:cut]).to(dtype), "b": torch.tensor(values[cut:]).double()}
    bits = torch.tensor([rivals >> i & 1 for i in range(len(values))], dtype=torch.bool)
    competing = None if all_compete else {"a": bits[:cut], "b": bits[cut:]}
    kept = round(share * (len(values) if all_compete else int(bits.sum())))
    found = select_device.largest(scores, kept, competing)
    assert same(found, top_k(scores, kept, competing))


def test_places_are_row_major_whatever_the_memory_layout():
    scores = {
        "turned": torch.tensor([[1.0, 1.0], [1.0, 1.0]]).t(),
        "last": torch.ones(1, 2, 2, 2).to(memory_format=torch.channels_last),
        "half": torch.tensor([0.5, 1.0], dtype=torch.bfloat16),
    }
    for kept in range(15):
        assert same(select_device.largest(scores, kept), top_k(scores, kept))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["normal", "ties", "double"])
@pytest.mark.parametrize("rivals", [False, True])
def test_a_gpu_keeps_what_the_cpu_keeps(kind, rivals):
    rng = generator(0, "scores")
    scores = {n: torch.randn(size, generator=rng) for n, size in (("a", 2_000_003), ("b", 70_000))}
    if kind == "ties":
        scores = {name: score.round() for name, score in scores.items()}
    if kind == "double":
        scores = {name: score.double() for name, score in scores.items()}
    competing = {name: score > -0.5 for name, score in scores.items()} if rivals else None
    there = {name: score.cuda() for name, score in scores.items()}
    for kept in (0, 1, 500_000, 1_200_000):
        found = top_k(there, kept, competing)
        assert all(mask.device.type == "cuda" for mask in found.values())
        expected = top_k(scores, kept, competing)
        assert all(torch.equal(found[name].cpu(), mask) for name, mask in expected.items())
    with pytest.raises(SpecError, match="weights that compete"):
        top_k(there, 3_000_000, competing)
