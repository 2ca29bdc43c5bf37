"""The words of `philox.blocks`, or the values of words, in one CUDA kernel where Triton is at hand.

`philox.torch_blocks` is what runs without Triton. Differing words would be caught by the sha256 of
a ticket.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prunekit.draws.philox import Address
from prunekit.draws.quantiles import Sign, Uniform
from prunekit.gpu.kernels import compiled, tl, triton

PROGRAM = 1024
"""Blocks of four words in one program of the kernel."""
FORMS = {type(None): 0, Uniform: 1, Sign: 2}
"""What the kernel makes of a word."""


def words(
    out: Tensor,
    address: Address,
    draw: int,
    elements: Tensor | None = None,
    values: Uniform | Sign | None = None,
) -> bool:
    """Fill `out` (int32, 1-d, CUDA) with the words of its elements, or of `elements` (int64, 1-d).

    values: write those of the words instead; `out` is float32. False where that cannot be: no
    Triton, or no CUDA device.
    """
    if triton is None or out.device.type != "cuda":
        return False
    with torch.cuda.device(out.device):
        launch(out, address, draw, elements, values)
    return True


def launch(
    out: Tensor,
    address: Address,
    draw: int,
    elements: Tensor | None = None,
    values: Uniform | Sign | None = None,
) -> None:
    """Run the kernel, whatever the device."""
    if not out.numel():
        return
    key = map(_signed, (*address.key, *address.name, draw))
    given = *key, values.factor if values else 1.0, FORMS[type(values)]
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


def _formed_of(word, factor, form: tl.constexpr):  # type: ignore[no-untyped-def]
    if form == 1:
        word = (word >> 8).to(tl.float32) * factor
    elif form == 2:
        word = ((word >> 31) | 1).to(tl.float32) * factor
    return word


def _words_of_whole(  # type: ignore[no-untyped-def]
    out, count, k0, k1, n0, n1, draw, factor, form: tl.constexpr, program: tl.constexpr
):
    index = tl.program_id(0).to(tl.int64) * program + tl.arange(0, program)
    w0, w1, w2, w3 = _blocks(index, k0, k1, n0, n1, draw)
    place = 4 * index
    tl.store(out + place, _formed(w0, factor, form), mask=place < count)
    tl.store(out + place + 1, _formed(w1, factor, form), mask=place + 1 < count)
    tl.store(out + place + 2, _formed(w2, factor, form), mask=place + 2 < count)
    tl.store(out + place + 3, _formed(w3, factor, form), mask=place + 3 < count)


def _words_of_some(  # type: ignore[no-untyped-def]
    out, elements, count, k0, k1, n0, n1, draw, factor, form: tl.constexpr, program: tl.constexpr
):
    place = tl.program_id(0).to(tl.int64) * program + tl.arange(0, program)
    element = tl.load(elements + place, mask=place < count, other=0)
    w0, w1, w2, w3 = _blocks(element >> 2, k0, k1, n0, n1, draw)
    part = element & 3
    word = tl.where(part == 0, w0, tl.where(part == 1, w1, tl.where(part == 2, w2, w3)))
    tl.store(out + place, _formed(word, factor, form), mask=place < count)


_ADDRESS = ("k0", "k1", "n0", "n1", "draw")
_blocks = compiled(_block)
_formed = compiled(_formed_of)
_whole = compiled(_words_of_whole, *_ADDRESS)
_some = compiled(_words_of_some, *_ADDRESS)
