"""The k-th smallest score of every layer on a GPU: radix selection, five launches for all of them.

Float32 bits become uint32 keys of the same order. Each of four passes counts how often each value
of the next 8 bits occurs among the keys that begin as the k-th one does; the counts so far say
how that is. Exact, whatever the scores; of no use for NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from prunekit.gpu.kernels import compiled, launchable, tl
from prunekit.gpu.tables import Table, addresses, counts

CHUNK = 4096
PROGRAMS = 256
"""Most programs for one layer; each goes on with the chunk that many further."""
WARPS = 8
PASSES = 4
FEW = 1
"""The first pass that counts each key alone: fewer are left, and spread over more digits."""


@attrs.define(eq=False)
class Select:
    """The k-th smallest of each layer, and the memory that this takes.

    counts: int32 (passes, layers, 256), all 0 between calls. found: float32 (layers,).
    """

    table: Table = attrs.field(factory=Table)
    counts: Tensor = attrs.field(factory=lambda: torch.empty(0, dtype=torch.int32))
    found: Tensor = attrs.field(factory=lambda: torch.empty(0))
    each: list[Tensor] = attrs.field(factory=list)

    @staticmethod
    def launchable(values: Sequence[Tensor]) -> bool:
        """Whether `kth_smallest` can: float32 on one CUDA device, dense, under 2^31 each."""
        return launchable(values, None, []) and all(tensor.numel() < 2**31 for tensor in values)

    def kth_smallest(self, values: Sequence[Tensor], ranks: Sequence[int]) -> list[Tensor]:
        """One number for each of `values`, on their device; the next call overwrites them.

        values: as `launchable` says, none empty. ranks: k for each, counted from 1.
        """
        device, sizes = values[0].device, counts(values)
        if len(self.each) != len(values) or self.found.device != device:
            self.counts = torch.zeros(PASSES, len(values), 256, dtype=torch.int32, device=device)
            self.found = torch.empty(len(values), device=device)
            self.each = list(self.found.unbind())
        there = self.table.on(device, [sizes, addresses(values), list(ranks)])
        grid = max(min(-(-max(sizes) // CHUNK), PROGRAMS), 1), len(values)
        with torch.cuda.device_of(self.found):
            for number in range(PASSES):
                _pass[grid](
                    there, self.counts, len(values), number, number >= FEW, CHUNK, num_warps=WARPS
                )
            _pick[(1, len(values))](there, self.counts, self.found, len(values), PASSES)
        return self.each


# Triton reads annotations, so only its own stand below. Rows of a table: 0 elements, 1 scores,
# 2 ranks.


def _begins_with(table, counts, layers, passes: tl.constexpr):  # type: ignore[no-untyped-def]
    """The first `passes` digits of this layer's k-th key, as the counts say."""
    layer, bins = tl.program_id(1), tl.arange(0, 256)
    rank = tl.load(table + 2 * layers + layer).to(tl.int32)
    prefix = tl.full((), 0, tl.int32)
    for number in tl.static_range(passes):
        count = tl.load(counts + (number * layers + layer) * 256 + bins)
        digit = tl.sum((tl.cumsum(count, 0) < rank).to(tl.int32), 0)
        rank -= tl.sum(tl.where(bins < digit, count, 0), 0)
        prefix = (prefix << 8) | digit
    return prefix


def _one_pass(  # type: ignore[no-untyped-def]
    table, counts, layers, number: tl.constexpr, few: tl.constexpr, chunk: tl.constexpr
):
    """Count the values of digit `number` among the keys that begin as the k-th one does."""
    layer, bins = tl.program_id(1), tl.arange(0, 256)
    size = tl.load(table + layer)
    first, step = tl.program_id(0).to(tl.int64) * chunk, tl.num_programs(0).to(tl.int64) * chunk
    if first < size:
        scores = tl.load(table + layers + layer).to(tl.pointer_type(tl.float32))
        prefix = _prefix(table, counts, layers, number).to(tl.uint32, bitcast=True)
        counts += (number * layers + layer) * 256
        total = tl.zeros((256,), tl.int32)
        for start in range(first, size, step):
            place = start + tl.arange(0, chunk)
            inside = place < size
            bits = tl.load(scores + place, mask=inside, other=0.0).to(tl.uint32, bitcast=True)
            key = tl.where((bits >> 31) != 0, bits ^ 0xFFFFFFFF, bits | 0x80000000)
            if number > 0:
                inside = inside & ((key >> (32 - 8 * number)) == prefix)
            digit = ((key >> (24 - 8 * number)) & 255).to(tl.int32)
            if few:
                tl.atomic_add(counts + digit, 1, mask=inside, sem="relaxed")
            else:
                others = chunk - tl.sum(inside.to(tl.int32), 0)  # counted as digit 0
                found = tl.histogram(tl.where(inside, digit, 0), 256)
                total += found - tl.where(bins == 0, others, 0)
        if not few:
            tl.atomic_add(counts + bins, total, mask=total > 0, sem="relaxed")


def _pick_found(table, counts, found, layers, passes: tl.constexpr):  # type: ignore[no-untyped-def]
    """The float of the whole key; the counts are 0 again."""
    key = _prefix(table, counts, layers, passes).to(tl.uint32, bitcast=True)
    bits = tl.where((key >> 31) != 0, key & 0x7FFFFFFF, key ^ 0xFFFFFFFF)
    tl.store(found + tl.program_id(1), bits.to(tl.float32, bitcast=True))
    for number in tl.static_range(passes):
        cells = counts + (number * layers + tl.program_id(1)) * 256 + tl.arange(0, 256)
        tl.store(cells, tl.zeros((256,), tl.int32))


_prefix = compiled(_begins_with, "layers")
_pass = compiled(_one_pass, "layers")
_pick = compiled(_pick_found, "layers")
