from __future__ import annotations

import pytest
import torch
from torch import Tensor

from prunekit.network import masking
from prunekit.network.masking import in_blocks, write_masked, zero_pruned

FORMATS = (torch.contiguous_format, torch.channels_last)


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("mask_format", FORMATS)
def test_masked_weights_have_their_bits_or_those_of_zero(dtype, weight_format, mask_format):
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 3, 3, generator=rng).to(dtype).to(memory_format=weight_format)
    weight[0, 0, 0] = torch.tensor([torch.inf, torch.nan, -0.0])
    mask = torch.rand(4, 3, 3, 3, generator=rng) < 0.5
    mask[0, 0, 0] = False
    out = torch.full_like(weight, 7)
    write_masked(weight, mask.to(memory_format=mask_format), out)
    assert bits(out) == bits(torch.where(mask, weight, 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_is_pruned_is_zero_and_what_is_kept_is_as_it_was_whatever_stands_there(dtype):
    weight = torch.tensor([torch.inf, -torch.inf, torch.nan, 3.0] * 2, dtype=dtype)
    mask = torch.tensor([True] * 4 + [False] * 4)
    for shape in ((8,), (2, 4), (4, 2)):
        write_masked(weight.view(shape), mask.view(shape), out := torch.ones(shape, dtype=dtype))
        assert bits(out.view(8)[:4]) == bits(weight[:4])
        assert out.view(8)[4:].tolist() == [0] * 4


def test_a_part_of_a_larger_tensor_is_written_in_place():
    whole, mask = torch.ones(4, 6), torch.eye(4, 6, dtype=torch.bool)
    part = whole[:, :3]
    write_masked(part, mask[:, :3], out=part)
    assert whole.tolist() == [
        [1, 0, 0, 1, 1, 1],
        [0, 1, 0, 1, 1, 1],
        [0, 0, 1, 1, 1, 1],
        [0, 0, 0, 1, 1, 1],
    ]


def test_what_a_mask_prunes_is_zeroed_and_the_mask_before_follows():
    values, before = torch.arange(1.0, 33.0), torch.ones(32, dtype=torch.bool)
    before[0], now = False, torch.ones(32, dtype=torch.bool)
    now[[0, 5]] = False
    assert zero_pruned(values, before, now)
    assert values.tolist() == [1.0, *range(2, 6), 0, *range(7, 33)]  # only what changed
    assert torch.equal(before, now)


def test_where_weights_come_back_or_many_go_nothing_is_done():
    values, ones = torch.ones(16), torch.ones(16, dtype=torch.bool)
    fewer = ones.clone()
    fewer[3] = False
    assert not zero_pruned(values, fewer.clone(), ones)
    assert not zero_pruned(values, ones.clone(), torch.zeros_like(ones))
    assert values.tolist() == [1.0] * 16


def test_blocks_cover_contiguous_tensors_and_others_come_whole(monkeypatch):
    monkeypatch.setattr(masking, "BLOCK", 4)
    a, b = torch.arange(10.0).view(2, 5), torch.arange(10).view(2, 5)
    pairs = list(in_blocks(a, b))
    assert [len(part) for part, _ in pairs] == [4, 4, 2]
    assert torch.equal(torch.cat([part for _, part in pairs]), b.view(-1))
    whole = list(in_blocks(a.T, b.T))
    assert len(whole) == 1
    assert whole[0][0].shape == (5, 2)
