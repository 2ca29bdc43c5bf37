"""What an operation multiplies its operands with: squared norms, operation by operation.

||X_(i)||^2 of entry i of an operand sums the squares of all that it is multiplied with, over every
output that it has a part in. A reader takes the arguments of a torch function and yields operands
with these numbers, in a shape that broadcasts to the operand's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Energies = Iterator[tuple[Tensor, Tensor]]
"""(operand, squared norms ||X_(i)||^2 that broadcast to its shape), for operands of a call."""


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Energies:
    """input: (..., in), weight: (out, in)."""
    yield weight, feature_energy(input)


def squared(x: Tensor) -> Tensor:
    """|x|^2, real."""
    return x.real.square() + x.imag.square() if x.is_complex() else x.square()


def feature_energy(x: Tensor) -> Tensor:
    """(..., features) -> (features,): the sum of squares over all but the last dimension."""
    return squared(x.reshape(-1, x.shape[-1])).sum(dim=0)


def bilinear(a: Tensor, b: Tensor, weight: Tensor, bias: Tensor | None = None) -> Energies:
    """a: (..., m), b: (..., n), weight: (out, m, n)."""
    first, second = (squared(x.reshape(-1, x.shape[-1])) for x in (a, b))
    yield weight, first.mT @ second


def product(a: Tensor, b: Tensor) -> Energies:
    """a @ b, as `torch.matmul` broadcasts them; nothing of a vector."""
    if a.ndim > 1 and b.ndim:
        energy = squared(b) if b.ndim == 1 else squared(b).sum(-1)
        yield a, over(energy.unsqueeze(-2), a)
    if b.ndim > 1 and a.ndim:
        energy = squared(a) if a.ndim == 1 else squared(a).sum(-2)
        yield b, over(energy.unsqueeze(-1), b)


def over(energy: Tensor, operand: Tensor) -> Tensor:
    """`energy` (..., m, n) summed over the batches that `operand` is repeated for."""
    extra = energy.ndim - operand.ndim
    energy = energy.sum(tuple(range(extra))) if extra > 0 else energy
    repeated = [
        dim for dim in range(-energy.ndim, -2) if operand.shape[dim] == 1 < energy.shape[dim]
    ]
    return energy.sum(repeated, keepdim=True) if repeated else energy


def added(start: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> Energies:
    """start + a @ b, as `torch.addmm` and `torch.baddbmm`."""
    return product(a, b)


def reversed_product(b: Tensor, a: Tensor) -> Energies:
    return product(a, b)


def contraction(equation: Any, *operands: Any) -> Energies:
    """`torch.einsum`, its equation a string: indices in every term once."""
    if not isinstance(equation, str):
        return
    tensors = (
        operands[0] if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands
    )
    terms, _, out = equation.replace(" ", "").partition("->")
    names = terms.split(",")
    if "->" not in equation:
        letters = terms.replace(",", "").replace(".", "")
        free = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
        out = ("..." if "..." in terms else "") + "".join(free)
    for place, own in enumerate(names):
        others = [*names[:place], *names[place + 1 :]]
        rest = [*tensors[:place], *tensors[place + 1 :]]
        if others:
            here = dict.fromkeys("".join(others).replace(".", ""))
            kept = "".join(letter for letter in here if letter in own + out)
            kept = "..." * ("..." in "".join(others)) + kept
            x = squared(torch.einsum(f"{','.join(others)}->{kept}", *rest))
            w = tensors[place]
            ones = torch.ones_like(w, dtype=x.dtype)
            yield w, over(torch.einsum(f"{kept},{own}->{own}", x, ones), w)


def embedding(input: Tensor, weight: Tensor, *_: Any, **__: Any) -> Energies:
    """input: integer tokens of any shape, weight: (tokens, features)."""
    counts = torch.bincount(input.reshape(-1), minlength=len(weight))
    yield weight, counts.to(weight.real.dtype).unsqueeze(1)


def bags(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    *args: Any,
    counted: Tensor | None = None,
    **kwargs: Any,
) -> Energies:
    """`F.embedding_bag`: a token's part in each bag, read off one feature at a time of ones.

    counted: bool of the tokens' shape, True where they count; None = all do.
    """
    options = dict(zip(("max_norm", "norm_type", "scale_grad_by_freq", "mode", "sparse"), args))
    options |= kwargs
    mode, share = options.get("mode", "mean"), options.get("per_sample_weights")
    if mode == "max":
        return
    if input.ndim == 2:
        bag = torch.arange(len(input), device=input.device)[:, None].expand_as(input).reshape(-1)
    else:
        assert offsets is not None
        bag = (
            torch.bucketize(torch.arange(len(input), device=input.device), offsets, right=True) - 1
        )
    part = torch.ones(input.numel(), device=input.device, dtype=weight.dtype)
    part = part if share is None else share.reshape(-1).to(part)
    if mode == "mean":
        part = part / torch.bincount(bag)[bag]
    part = part if counted is None else part * counted.reshape(-1)
    places, which = (bag * len(weight) + input.reshape(-1)).unique(return_inverse=True)
    parts = torch.zeros(len(places), dtype=part.dtype, device=part.device).index_add_(
        0, which, part
    )
    energy = torch.zeros(len(weight), dtype=part.dtype, device=part.device)
    yield weight, energy.index_add_(0, places % len(weight), parts.square()).unsqueeze(1)


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Energies:
    """input: (batch, channels, *positions), weight: (out, channels / groups, *kernel).

    Squares are summed over the batch first, then over the positions that each kernel offset
    visits: no unfolded copy is made.
    """
    kernel = weight.shape[2:]
    stride, dilation = (each(value, len(kernel)) for value in (stride, dilation))
    batched = input if input.ndim == weight.ndim else input.unsqueeze(0)
    energy = F.pad(squared(batched).sum(dim=0), margins(padding, kernel, dilation))
    steps = [  # along each dimension: for each kernel offset, the positions it visits
        [slice(u * d, size - (k - 1 - u) * d, s) for u in range(k)]
        for size, k, s, d in zip(energy.shape[1:], kernel, stride, dilation)
    ]
    sums = [energy[(slice(None), *at)].flatten(1).sum(dim=1) for at in itertools.product(*steps)]
    grouped = torch.stack(sums, dim=1).reshape(groups, -1, *kernel)
    yield weight, grouped.repeat_interleave(len(weight) // groups, dim=0)


def transposed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Energies:
    """input: (batch, channels, *positions), weight: (channels, out / groups, *kernel).

    Position t and kernel offset u meet at t * stride + u * dilation - padding, if that is inside.
    """
    kernel = weight.shape[2:]
    strides, pads, more, gaps = (
        each(value, len(kernel)) for value in (stride, padding, output_padding, dilation)
    )
    batched = input if input.ndim == weight.ndim else input.unsqueeze(0)
    energy = squared(batched).sum(dim=0)  # (channels, *positions)
    for dim, k in enumerate(kernel):  # one position axis after the other becomes a kernel axis
        size = energy.shape[1 + dim]
        length = (size - 1) * strides[dim] - 2 * pads[dim] + gaps[dim] * (k - 1) + more[dim] + 1
        t, u = torch.arange(size, device=energy.device), torch.arange(k, device=energy.device)
        place = t[:, None] * strides[dim] + u * gaps[dim] - pads[dim]
        inside = ((place >= 0) & (place < length)).to(energy.dtype)  # (positions, k)
        energy = torch.tensordot(energy, inside, ([1 + dim], [0])).movedim(-1, 1 + dim)
    yield weight, energy.unsqueeze(1)


def each(value: Any, dimensions: int) -> tuple[int, ...]:
    whole = (value,) if isinstance(value, int) else tuple(value)
    return whole * dimensions if len(whole) == 1 else whole


def margins(padding: Any, kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Zeros before and after each dimension, the last dimension first, as F.pad takes them."""
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation)]
        pairs = [(total // 2, total - total // 2) for total in totals]
    else:
        sizes = each(0 if padding == "valid" else padding, len(kernel))
        pairs = [(size, size) for size in sizes]
    return [margin for pair in reversed(pairs) for margin in pair]


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_heads: int,
    in_weight: Tensor | None,
    *between: Any,
    counted: Callable[[Tensor, Tensor], Tensor] = lambda x, like: x,
    **kwargs: Any,
) -> Energies:
    """nn.MultiheadAttention: q, k, v (..., features), fused (3 * features) or apart, and output.

    The output projection's input is the attention's output with the identity in its place.
    counted: a tensor without the rows that do not count, those of the one it has its rows of.
    """
    tokens = [feature_energy(counted(x, x)) for x in (query, key, value)]
    if in_weight is not None:
        yield in_weight, torch.stack(tokens).repeat_interleave(embed_dim, dim=0)
    for name, energy in zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), tokens):
        if kwargs.get(name) is not None:
            yield kwargs[name], energy
    *middle, out_weight, _ = between
    again: Callable[..., tuple[Tensor, Tensor | None]] = F.multi_head_attention_forward
    start = (query, key, value, embed_dim, num_heads, in_weight, *middle)
    heads, _ = again(*start, torch.eye(embed_dim).to(query), None, **kwargs)
    yield out_weight, feature_energy(counted(heads, query))


PRODUCTS = (
    torch.matmul, torch.mm, torch.bmm, Tensor.matmul, Tensor.mm, Tensor.bmm, Tensor.__matmul__,
)  # fmt: skip
SUMS = (
    torch.addmm, torch.addbmm, torch.baddbmm, Tensor.addmm, Tensor.addbmm, Tensor.baddbmm,
)  # fmt: skip

READERS: Mapping[Any, Callable[..., Energies]] = {
    **dict.fromkeys(PRODUCTS, product),
    **dict.fromkeys(SUMS, added),
    Tensor.__rmatmul__: reversed_product,
    torch.einsum: contraction,
    F.linear: linear,
    F.bilinear: bilinear,
    F.embedding: embedding,
    F.embedding_bag: bags,
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), convolution),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), transposed),
    F.multi_head_attention_forward: attention,
}
"""The reader of each torch function."""
