"""Gradients of pruned weights are cleared, whatever they hold."""

from __future__ import annotations

import math

import pytest
import torch

from prunekit.draws.chance import generator
from prunekit.training import masked
from prunekit.training.masked import clear, gate

AWKWARD = [math.nan, -math.nan, math.inf, -math.inf, -0.0, 0.0, 1e-45, -1.0]


def bits(tensor: torch.Tensor) -> list[int]:
    width = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.contiguous().view(width).reshape(-1).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_bit_is_that_of_a_fill(dtype, layout, monkeypatch):
    monkeypatch.setattr(masked, "BLOCK", 37)
    for examples in (1, 4):  # 32 numbers in one block, 128 in four
        awkward = torch.tensor(AWKWARD * 4 * examples).reshape(-1, 4, 2, 2)
        gradient = awkward.to(dtype, memory_format=layout)
        pruned = torch.rand(gradient.shape, generator=generator(examples)) < 0.5
        expected = gradient.clone().masked_fill_(pruned, 0)
        clear(gradient, gate(~pruned, dtype))
        assert bits(gradient) == bits(expected)


@pytest.mark.parametrize("shape", [(), (0, 3), (3,), (1, 1)])
def test_small_and_empty_gradients_are_cleared(shape):
    gradient = torch.full(shape, math.nan)
    clear(gradient, gate(torch.zeros(shape, dtype=torch.bool), torch.float32))
    assert bits(gradient) == [0] * gradient.numel()


def test_a_gradient_in_another_order_is_cleared_in_its_place():
    gradient, pruned = torch.ones(3, 2).t(), torch.tensor([[1, 0, 0], [0, 0, 1]]).bool()
    clear(gradient, gate(~pruned, torch.float32))
    assert gradient.tolist() == [[0, 1, 1], [1, 1, 0]]
