"""Weights kept as signs compute what the floats compute, bit for bit, and need a byte each."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from prunekit.training.frozen import CHUNK, Frozen, keep_at_least

SHAPE = (5, CHUNK // 2)  # two and a half chunks


def constant(shape: tuple[int, ...] = SHAPE, size: float = 0.3, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return size * (1 - 2 * torch.randint(2, shape, generator=rng).float())


def normal(shape: tuple[int, ...] = SHAPE, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def both(weight: Tensor) -> tuple[Frozen, Frozen]:
    """As signs, and as floats."""
    signs = Frozen.of({"w": weight})
    assert signs.sizes is not None
    return signs, Frozen({"w": weight.clone()})


def test_signs_give_the_weights_back() -> None:
    weight = constant()
    signs, _ = both(weight)
    assert torch.equal(signs["w"], weight)
    assert signs.held["w"].dtype == torch.int8
    assert list(signs) == ["w"]
    assert len(signs) == 1
    signs["w"].zero_()  # a look-up is a copy
    assert torch.equal(signs["w"], weight)


@pytest.mark.parametrize(
    "weight",
    [normal((4, 3)), torch.zeros(2, 2), constant((4, 3)).double(), torch.tensor([0.5, 0.25])],
    ids=["normal", "zero", "double", "two sizes"],
)
def test_other_weights_stay_floats(weight: Tensor) -> None:
    frozen = Frozen.of({"a": constant((2, 2)), "w": weight})
    assert frozen.sizes is None
    assert frozen["w"] is weight


def test_a_layer_without_weights_has_signs() -> None:
    signs = Frozen.of({"none": torch.zeros(0, 7)})
    assert signs.sizes is not None
    assert signs["none"].shape == (0, 7)
    signs.write("none", torch.zeros(0, 7), 0.0, torch.zeros(0, 7))


@pytest.mark.parametrize("order", ["rows", "channels last", "a part"])
def test_writing_and_multiplying_give_the_bits_of_the_floats(order: str) -> None:
    shape = (6, 5, 3, 3) if order == "channels last" else SHAPE
    weight, ranked, gradient = constant(shape), normal(shape), normal(shape, 2)
    outs = [torch.full(shape, 7.0) for _ in range(2)]
    if order == "channels last":
        outs = [out.contiguous(memory_format=torch.channels_last) for out in outs]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
    if order == "a part":  # of a larger tensor, as a fused parameter is
        outs = [torch.zeros(5, CHUNK)[:, : CHUNK // 2] for _ in range(2)]
    gradients = [gradient.clone(), gradient.clone()]
    for held, out, given in zip(both(weight), outs, gradients):
        held.write("w", ranked, 0.1, out)
        held.multiply("w", given)
    assert torch.equal(outs[0], outs[1])
    assert torch.equal(outs[0], torch.where(ranked >= 0.1, weight, 0.0))
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradient * weight)


def test_the_threshold_itself_is_kept() -> None:
    ranked, out = torch.tensor([-1.0, 0.25, 0.5]), torch.zeros(3)
    keep_at_least(ranked, 0.25, torch.tensor([1.0, 2.0, 3.0]), out)
    assert out.tolist() == [0, 2, 3]


def test_a_threshold_that_stays_on_its_device_keeps_the_same_weights() -> None:
    weight = constant((3, 4))
    ranked = torch.tensor([-0.0, 0.0, -1.0, 2.0, 0.5, 0.5]).repeat(2).view(3, 4)
    for held in both(weight):
        for threshold in (-1.0, 0.0, 0.5, 2.0):
            found, expected = torch.empty(3, 4), torch.empty(3, 4)
            held.write("w", ranked, torch.tensor(threshold), found)
            held.write("w", ranked, threshold, expected)
            assert torch.equal(found.view(torch.int32), expected.view(torch.int32))


def test_a_redraw_of_the_same_size_turns_signs() -> None:
    weight, fresh = constant((3, 4)), constant((3, 4), seed=5)
    where = torch.tensor([0, 5, 11])
    for held in both(weight):
        assert held.can_hold("w", where, fresh.view(-1)[where])
        assert held.put("w", where, fresh.view(-1)[where]) == 3
        expected = weight.clone()
        expected.view(-1)[where] = fresh.view(-1)[where]
        assert torch.equal(held["w"], expected)


def test_a_redraw_of_another_size_does_not_fit() -> None:
    signs, _ = both(constant((3, 4)))
    bits = torch.zeros(3, 4, dtype=torch.bool)
    bits[1, 2] = True
    values = torch.full((3, 4), 0.4)
    assert not signs.can_hold("w", bits, values)
    values[1, 2] = -constant((3, 4)).abs()[1, 2]
    assert signs.can_hold("w", bits, values)
