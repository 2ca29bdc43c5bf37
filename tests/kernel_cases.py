"""What the kernels for all layers must do, on the device given: in Triton's interpreter, on a GPU.

Shapes are those that go wrong: one element, one more than a chunk, channels last, equal scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunekit.gpu.tables import Table
from prunekit.selection import kth_triton
from prunekit.selection.kth_triton import Select
from prunekit.training import layers_triton

INF = float("inf")


def awkward(seed: int, device: str) -> list[Tensor]:
    """Float32 layers: normal, single, signed zeros and infinities, ties, subnormal, tiny gaps."""
    rng = torch.Generator().manual_seed(seed)
    close = torch.randn(700, generator=rng).mul_(1e-6).add_(1.0)
    found = [
        torch.randn(2 * kth_triton.CHUNK + 1, generator=rng),
        torch.randn(1, generator=rng),
        torch.tensor([-0.0, 0.0, INF, -INF, 1.0, -0.0, 0.0, -INF]),
        torch.randn(300, generator=rng).round(),
        torch.full((7,), -1e-40),
        torch.randn(4, 3, 3, 3, generator=rng).contiguous(memory_format=torch.channels_last),
        close,
    ]
    return [tensor.to(device) for tensor in found]


def same_bits(found: Tensor, expected: Tensor) -> bool:
    return torch.equal(found.cpu().view(torch.int32), expected.cpu().view(torch.int32))


def check_kth(device: str) -> None:
    """Every rank from the first to the last, by one object whose values and number change."""
    select = Select()
    for seed, share in enumerate((0.0, 0.03, 0.5, 0.97, 1.0)):
        values = awkward(seed, device)[: None if seed % 2 else 4]
        ranks = [max(1, round(share * value.numel())) for value in values]
        found = select.kth_smallest(values, ranks)
        for value, k, number in zip(values, ranks, found, strict=True):
            assert number.item() == np.sort(value.cpu().numpy().ravel())[k - 1], (share, k)
    for k in range(1, 9):
        found = select.kth_smallest([awkward(0, device)[2]], [k])
        assert found[0].item() == [-INF, -INF, 0, 0, 0, 0, 1, INF][k - 1]


def check_nan_ends(device: str) -> None:
    """Scores that are no number give no promise, and nothing else breaks."""
    values = [torch.full((5,), float("nan")).to(device), torch.arange(9.0).to(device)]
    assert Select().kth_smallest(values, [3, 4])[1].item() == 3


def weights_of(layers: list[Tensor], signs: bool) -> tuple[list[Tensor], Any, list[Tensor]]:
    """Weights as kept, their sizes or None, and as floats; some are subnormal when multiplied."""
    drawn = [torch.randn_like(layer) for layer in layers]
    if not signs:
        return drawn, None, drawn
    sizes = [float(np.float32(0.3 * 1e-5**i)) for i in range(len(layers))]
    kept = [draw.sign().to(torch.int8) for draw in drawn]
    return kept, sizes, [sign.float() * size for sign, size in zip(kept, sizes)]


def check_write(device: str) -> None:
    table = Table()
    for signs in (False, True):
        ranked = awkward(3, device)
        kept, sizes, floats = weights_of(ranked, signs)
        thresholds = [score.reshape(-1)[len(score) // 2] for score in ranked]
        outs = [torch.full_like(score, 7.0) for score in ranked]
        versions = [out._version for out in outs]
        layers_triton.write(table, kept, sizes, ranked, thresholds, outs)
        for score, least, weight, out in zip(ranked, thresholds, floats, outs, strict=True):
            expected = torch.where(score.cpu() >= least.cpu(), weight.cpu(), 0.0)
            assert same_bits(out, expected)
        assert all(out._version > version for out, version in zip(outs, versions))


def check_multiply(device: str) -> None:
    table = Table()
    for signs in (False, True):
        for seed in (4, 5):  # other gradients at other addresses
            gradients = awkward(seed, device)
            kept, sizes, floats = weights_of(gradients, signs)
            expected = [g.cpu() * weight.cpu() for g, weight in zip(gradients, floats)]
            layers_triton.multiply(table, kept, sizes, gradients)
            assert all(same_bits(g, e) for g, e in zip(gradients, expected, strict=True))


def check_all(device: str) -> None:
    for check in (check_kth, check_nan_ends, check_write, check_multiply):
        check(device)


def check_few_programs(device: str) -> None:
    """One program does the work of several."""
    kth_triton.PROGRAMS = layers_triton.PROGRAMS = 1
    layers_triton.CHUNK = 1024
    check_all(device)
