"""One CUDA kernel for all layers: weights written by thresholds, gradients times weights.

A launch takes the processor longer than a layer takes the GPU, so a kernel gets a table of
addresses, one column for each layer, and works on all of them. Every product is one IEEE
multiplication: the bits are those of the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from prunekit.gpu.kernels import compiled, launchable, tl
from prunekit.gpu.kernels import entry as _entry
from prunekit.gpu.tables import Table, addresses, bits, counts

CHUNK = 4096
"""Elements that a program takes at a time."""
PROGRAMS = 4096
"""Most programs for one layer; each goes on with the chunk that many further."""
WARPS = 8


@attrs.frozen(eq=False)
class LayerKernels:
    """Both kernels, each with the table that it keeps from step to step.

    Both return False, and have done nothing, where no kernel can work on what they are given.
    """

    writing: Table = attrs.field(factory=Table)
    multiplying: Table = attrs.field(factory=Table)

    def write(
        self,
        weights: Sequence[Tensor],
        sizes: Sequence[float] | None,
        ranked: Sequence[Tensor],
        thresholds: Sequence[float | Tensor],
        outs: Sequence[Tensor],
    ) -> bool:
        """`write`, where the thresholds lie on the device too."""
        there = [threshold for threshold in thresholds if isinstance(threshold, Tensor)]
        if len(there) < len(outs) or not launchable(weights, sizes, [ranked, outs], there):
            return False
        write(self.writing, weights, sizes, ranked, there, outs)
        return True

    def multiply(
        self,
        weights: Sequence[Tensor],
        sizes: Sequence[float] | None,
        gradients: Sequence[Tensor],
    ) -> bool:
        """`multiply`, in place."""
        if not launchable(weights, sizes, [gradients]):
            return False
        multiply(self.multiplying, weights, sizes, gradients)
        return True


def write(
    table: Table,
    weights: Sequence[Tensor],
    sizes: Sequence[float] | None,
    ranked: Sequence[Tensor],
    thresholds: Sequence[Tensor],
    outs: Sequence[Tensor],
) -> None:
    """out = weight where ranked >= threshold, else 0, for every layer in one launch.

    ranked, outs: float32. thresholds: float32, one number each. weights: float32, or int8 signs
    that are multiplied with the layer's size.
    """
    rows = [counts(outs), addresses(weights), bits(sizes or [0.0] * len(outs))]
    rows += [addresses(ranked), addresses(thresholds), addresses(outs)]
    there, grid = table.on(outs[0].device, rows), _grid(rows[0])
    with torch.cuda.device_of(outs[0]):
        _write[grid](there, len(outs), sizes is not None, CHUNK, num_warps=WARPS)
    torch.autograd.graph.increment_version(outs)


def multiply(
    table: Table,
    weights: Sequence[Tensor],
    sizes: Sequence[float] | None,
    gradients: Sequence[Tensor],
) -> None:
    """gradient *= weight for every layer in one launch; weights and sizes are as for `write`."""
    rows = [counts(gradients), addresses(weights), bits(sizes or [0.0] * len(gradients))]
    rows += [addresses(gradients)]
    there, grid = table.on(gradients[0].device, rows), _grid(rows[0])
    with torch.cuda.device_of(gradients[0]):
        _multiply[grid](there, len(gradients), sizes is not None, CHUNK, num_warps=WARPS)
    torch.autograd.graph.increment_version(gradients)


def _grid(sizes: Sequence[int]) -> tuple[int, int]:
    return max(min(-(-max(sizes) // CHUNK), PROGRAMS), 1), len(sizes)


# Triton reads annotations, so only its own stand below. Rows of a table: 0 elements, 1 weights,
# 2 bits of the size, then what the kernel says.


def _floats_of(table, layers, row):  # type: ignore[no-untyped-def]
    """The address of this layer's floats."""
    return _entry(table, layers, row).to(tl.pointer_type(tl.float32))


def _weights_at(table, layers, place, inside, signs: tl.constexpr):  # type: ignore[no-untyped-def]
    if signs:
        size = _entry(table, layers, 2).to(tl.int32).to(tl.float32, bitcast=True)
        address = _entry(table, layers, 1).to(tl.pointer_type(tl.int8))
        weight = tl.load(address + place, mask=inside, other=0).to(tl.float32) * size
    else:
        weight = tl.load(_floats(table, layers, 1) + place, mask=inside, other=0.0)
    return weight


def _write_layers(table, layers, signs: tl.constexpr, chunk: tl.constexpr):  # type: ignore[no-untyped-def]
    """3 scores, 4 threshold, 5 where to write."""
    count = _entry(table, layers, 0)
    scores, out = _floats(table, layers, 3), _floats(table, layers, 5)
    threshold = tl.load(_floats(table, layers, 4))
    first, step = tl.program_id(0).to(tl.int64) * chunk, tl.num_programs(0).to(tl.int64) * chunk
    for start in range(first, count, step):
        place = start + tl.arange(0, chunk)
        inside = place < count
        kept = tl.load(scores + place, mask=inside, other=0.0) >= threshold
        weight = _weights(table, layers, place, inside, signs)
        tl.store(out + place, tl.where(kept, weight, 0.0), mask=inside)


def _multiply_layers(table, layers, signs: tl.constexpr, chunk: tl.constexpr):  # type: ignore[no-untyped-def]
    """3 gradients."""
    count, gradients = _entry(table, layers, 0), _floats(table, layers, 3)
    first, step = tl.program_id(0).to(tl.int64) * chunk, tl.num_programs(0).to(tl.int64) * chunk
    for start in range(first, count, step):
        place = start + tl.arange(0, chunk)
        inside = place < count
        weight = _weights(table, layers, place, inside, signs)
        gradient = tl.load(gradients + place, mask=inside, other=0.0)
        tl.store(gradients + place, gradient * weight, mask=inside)


_floats = compiled(_floats_of, "layers")
_weights = compiled(_weights_at, "layers")
_write = compiled(_write_layers, "layers")
_multiply = compiled(_multiply_layers, "layers")
