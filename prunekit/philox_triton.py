"""The words of `philox.blocks` in one CUDA kernel, where Triton is at hand.

Not yet run on a GPU: the tests run it in Triton's interpreter. Differing words would be caught by
the sha256 of a ticket; `philox.torch_blocks` is what runs without Triton.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prunekit.philox import Address

try:
    import triton
    import triton.language as tl
except ImportError:  # torch on the CPU comes without it
    triton = None

PROGRAM = 1024
"""Blocks of four words in one program of the kernel."""


def words(out: Tensor, address: Address, draw: int) -> bool:
    """Fill `out` (int32, 1-d, CUDA) with the words of its elements; False where that cannot be."""
    if triton is None or out.device.type != "cuda":
        return False
    with torch.cuda.device(out.device):
        launch(out, address, draw)
    return True


def launch(out: Tensor, address: Address, draw: int) -> None:
    """Run the kernel, whatever the device."""
    grid = (triton.cdiv(out.numel(), 4 * PROGRAM),)
    given = (*address.key, *address.name, draw)
    if out.numel():
        _kernel[grid](out, out.numel(), *map(_signed, given), PROGRAM)


def _signed(word: int) -> int:
    """The int32 of the same bits, so that the kernel is compiled for one type."""
    return word - 2**32 if word >= 2**31 else word


# Triton reads annotations, so only its own stand here.
def _words_of_blocks(out, count, k0, k1, n0, n1, draw, program: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * program + tl.arange(0, program)
    c0 = (index & 0xFFFFFFFF).to(tl.uint32)
    c1 = tl.zeros_like(c0) + n0.to(tl.uint32, bitcast=True)
    c2 = tl.zeros_like(c0) + draw.to(tl.uint32, bitcast=True)
    c3 = tl.zeros_like(c0) + n1.to(tl.uint32, bitcast=True)
    first, second = k0.to(tl.uint32, bitcast=True), k1.to(tl.uint32, bitcast=True)
    a, b = tl.full(c0.shape, 0xD2511F53, tl.uint32), tl.full(c0.shape, 0xCD9E8D57, tl.uint32)
    for _ in tl.static_range(10):
        high0, low0 = tl.umulhi(c0, a), c0 * a
        high1, low1 = tl.umulhi(c2, b), c2 * b
        c0, c1 = high1 ^ c1 ^ first, low1
        c2, c3 = high0 ^ c3 ^ second, low0
        first, second = first + 0x9E3779B9, second + 0xBB67AE85
    place = 4 * index
    tl.store(out + place, c0.to(tl.int32, bitcast=True), mask=place < count)
    tl.store(out + place + 1, c1.to(tl.int32, bitcast=True), mask=place + 1 < count)
    tl.store(out + place + 2, c2.to(tl.int32, bitcast=True), mask=place + 2 < count)
    tl.store(out + place + 3, c3.to(tl.int32, bitcast=True), mask=place + 3 < count)


_ARGUMENTS = ["k0", "k1", "n0", "n1", "draw"]  # a kernel for each value would be compiled else
_kernel: Any = (
    None if triton is None else triton.jit(_words_of_blocks, do_not_specialize=_ARGUMENTS)
)
