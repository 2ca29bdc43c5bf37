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


def words(out: Tensor, address: Address, draw: int, elements: Tensor | None = None) -> bool:
    """Fill `out` (int32, 1-d, CUDA) with the words of its elements, or of `elements` (int64, 1-d).

    False where that cannot be: no Triton, or no CUDA device.
    """
    if triton is None or out.device.type != "cuda":
        return False
    with torch.cuda.device(out.device):
        launch(out, address, draw, elements)
    return True


def launch(out: Tensor, address: Address, draw: int, elements: Tensor | None = None) -> None:
    """Run the kernel, whatever the device."""
    if not out.numel():
        return
    given = map(_signed, (*address.key, *address.name, draw))
    if elements is None:
        grid = (triton.cdiv(out.numel(), 4 * PROGRAM),)
        _whole[grid](out, out.numel(), *given, PROGRAM)
    else:
        grid = (triton.cdiv(out.numel(), PROGRAM),)
        _some[grid](out, elements.contiguous(), out.numel(), *given, PROGRAM)


def _signed(word: int) -> int:
    """The int32 of the same bits, so that the kernel is compiled for one type."""
    return word - 2**32 if word >= 2**31 else word


# Triton reads annotations, so only its own stand below.


def _block(index, k0, k1, n0, n1, draw):  # type: ignore[no-untyped-def]
    """The four words of each block `index` (int64), int32."""
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
    w0, w1 = c0.to(tl.int32, bitcast=True), c1.to(tl.int32, bitcast=True)
    w2, w3 = c2.to(tl.int32, bitcast=True), c3.to(tl.int32, bitcast=True)
    return w0, w1, w2, w3


def _words_of_whole(out, count, k0, k1, n0, n1, draw, program: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * program + tl.arange(0, program)
    w0, w1, w2, w3 = _blocks(index, k0, k1, n0, n1, draw)
    place = 4 * index
    tl.store(out + place, w0, mask=place < count)
    tl.store(out + place + 1, w1, mask=place + 1 < count)
    tl.store(out + place + 2, w2, mask=place + 2 < count)
    tl.store(out + place + 3, w3, mask=place + 3 < count)


def _words_of_some(out, elements, count, k0, k1, n0, n1, draw, program: tl.constexpr):  # type: ignore[no-untyped-def]
    place = tl.program_id(0).to(tl.int64) * program + tl.arange(0, program)
    element = tl.load(elements + place, mask=place < count, other=0)
    w0, w1, w2, w3 = _blocks(element >> 2, k0, k1, n0, n1, draw)
    part = element & 3
    word = tl.where(part == 0, w0, tl.where(part == 1, w1, tl.where(part == 2, w2, w3)))
    tl.store(out + place, word, mask=place < count)


def _compiled(function: Any, **options: Any) -> Any:
    return None if triton is None else triton.jit(function, **options)


_ARGUMENTS = ["k0", "k1", "n0", "n1", "draw"]  # a kernel for each value would be compiled else
_blocks = _compiled(_block)
_whole = _compiled(_words_of_whole, do_not_specialize=_ARGUMENTS)
_some = _compiled(_words_of_some, do_not_specialize=_ARGUMENTS)
