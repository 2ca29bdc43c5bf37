"""Positive forms of operations: what is left of each when a network is its absolute paths.

`PositivePaths` (paths.py) says which operation has which; those of attention are in
pathattention.py. A form takes the arguments of the torch function that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prunekit.errors import SpecError

Operation = Callable[..., Any]


def relu(input: Tensor, *_: Any, **__: Any) -> Tensor:
    """F.relu, but what comes out may be written to: the gradient is read off the input."""
    return F.threshold(input, 0.0, 0.0)


def same(input: Tensor, *_: Any, **__: Any) -> Tensor:
    return input


def over(z: Tensor, whole: Tensor) -> Tensor:
    """z / stop(whole), 0 where the whole is 0."""
    return z / torch.where(whole > 0, whole, 1).detach()


DIRECTING = 1 / 8
"""What directs the flow has this share of it. With a share of 1 every attention block would triple
the flow of all that lie before it, and the last of twelve blocks would be pruned away."""


def director(y: Tensor) -> Tensor:
    """y, whose gradient counts as DIRECTING."""
    return y.detach().lerp(y, DIRECTING)


def gate(input: Tensor, *_: Any, **__: Any) -> Tensor:
    z = F.relu(input)
    return director(over(z, z))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    value, z = input.chunk(2, dim)
    return value * gate(z)


def interpolation(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """A gate between two opens or closes both: (1 - z) a + z b becomes z (a + b)."""
    return weight * (input + end) if isinstance(weight, Tensor) else input.lerp(end, weight)


def softmax(input: Tensor, dim: int | None = None, *_: Any, **__: Any) -> Tensor:
    z = F.relu(input)
    return director(over(z, z.sum(-1 if dim is None else dim, keepdim=True)))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, *_: Any, **__: Any) -> Tensor:
    return over(input, input.norm(p, dim, keepdim=True))


def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return over(v, torch.norm_except_dim(v, 2, dim)) * g


def affine(x: Tensor, weight: Tensor | None, bias: Tensor | None, dim: int) -> Tensor:
    """|g| x + |b|, where g and b lie along the dimensions from `dim` on."""
    for combine, p in ((torch.mul, weight), (torch.add, bias)):
        if p is not None:
            x = combine(x, p.reshape(p.shape + (1,) * (x.ndim - dim - p.ndim)))
    return x


def layer_norm(
    input: Tensor, shape: Any, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> Tensor:
    return affine(input, weight, bias, input.ndim - len(shape))


def rms_norm(input: Tensor, shape: Any, weight: Any = None, *_: Any, **__: Any) -> Tensor:
    return affine(input, weight, None, input.ndim - len(shape))


def group_norm(
    input: Tensor, groups: int, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> Tensor:
    return affine(input, weight, bias, 1)


def channel_norm(norm: Operation) -> Operation:
    """Batch or instance norm: by running statistics as it is, by those of the input affine."""

    def positive(
        input: Tensor, running_mean: Any = None, running_var: Any = None, weight: Any = None,
        bias: Any = None, by_input: bool = False, *args: Any, **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        by_input = kwargs.pop("training", kwargs.pop("use_input_stats", by_input))
        if by_input or running_mean is None:
            return affine(input, weight, bias, 1)
        return norm(input, running_mean, running_var, weight, bias, False, *args, **kwargs)

    return positive


def constant_denominator(divide: Operation) -> Operation:
    def positive(x: Any, y: Any, *args: Any, **kwargs: Any) -> Tensor:
        return divide(x, y.detach() if isinstance(y, Tensor) else y, *args, **kwargs)

    return positive


def constant_reciprocal(power: Operation) -> Operation:
    return lambda x, *args, **kwargs: power(x.detach(), *args, **kwargs)


def absolute_wave(wave: Operation) -> Operation:
    """|wave(x)| of what no weight acts on; else it is an activation."""
    return lambda x, *args, **kwargs: (
        F.relu(x) if x.requires_grad else wave(x, *args, **kwargs).abs()
    )


def in_place(operate: Operation) -> Operation:
    return lambda x, *args, **kwargs: x.copy_(operate(x, *args, **kwargs))


FEW = 64
"""Output positions of a batch up to which a matrix product beats the convolution."""


def convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """`F.conv2d`; in float64 with few positions, a product with the rows of unfolded patches.

    The same values in half the time.
    """
    slow = input.dtype == torch.float64 and input.device.type == "cpu" and input.ndim == 4
    if slow and groups == 1 and not isinstance(padding, str):
        steps, pads, gaps = (pair(v) for v in (stride, padding, dilation))
        size = [
            (n + 2 * pad - gap * (k - 1) - 1) // step + 1
            for n, k, step, pad, gap in zip(input.shape[2:], weight.shape[2:], steps, pads, gaps)
        ]
        if len(input) * size[0] * size[1] <= FEW:
            patches = F.unfold(input, weight.shape[2:], dilation, padding, stride)
            rows = patches.transpose(1, 2).flatten(0, 1).contiguous()  # (positions, channels * k)
            y = F.linear(rows, weight.flatten(1), bias).unflatten(0, (len(input), -1))
            return y.transpose(1, 2).unflatten(2, size).contiguous()
    return F.conv2d(input, weight, bias, stride, padding, dilation, groups)


def embedding(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if input.is_floating_point():
        raise SpecError(
            "paths start from real numbers and this model starts with an embedding, which takes "
            "tokens; set prune.data = real to score a batch of tokens, or choose another scorer"
        )
    return F.embedding(input, *args, **kwargs)


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value) * (2 // len(value))
