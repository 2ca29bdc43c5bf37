"""Positive forms of operations: what is left of each when a network is its absolute paths.

A path weight is the product of the absolute weights along a path from input to output. With
non-negative inputs and parameters, a network of convolutions, linear maps, pooling and ReLU sums
path weights as it is. `PositivePaths` makes the same true of modern networks: while it is active,
every operation listed in POSITIVE is a monotone one, of degree one in the input:

    an activation            relu(x)
    a norm with g and b      g x + b             (no centring, no scaling)
    a gate, sigmoid(z)       z / stop(z)         (open, 1, where z > 0; 0 elsewhere)
    softmax(z)               relu(z) / stop(sum relu(z)), 0 where the sum is 0
    attention(q, k, v)       softmax(q k^T) v in that form: linear in q, in k and in v
    a denominator            a constant
    dropout                  x

stop() is constant for the gradient, so no value grows faster than the flow itself. What directs
the flow (a gate; softmax, hence q and k) has an eighth of the gradient: it gets a share of the
flow, and the blocks before it are not counted over and over.

A convolution with few positions in float64 on the CPU is computed as a matrix product: the same
values in half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from prunekit.errors import SpecError

Operation = Callable[..., Any]


def relu(input: Tensor, *_: Any, **__: Any) -> Tensor:
    return F.relu(input)


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


def softmax(input: Tensor, dim: int | None = None, *_: Any, **__: Any) -> Tensor:
    z = F.relu(input)
    return director(over(z, z.sum(-1 if dim is None else dim, keepdim=True)))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, *_: Any, **__: Any) -> Tensor:
    return over(input, input.norm(p, dim, keepdim=True))


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


def in_place(operate: Operation) -> Operation:
    return lambda x, *args, **kwargs: x.copy_(operate(x, *args, **kwargs))


def attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """Scaled dot-product attention over (..., heads, tokens, channels), linear in each factor."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (t.repeat_interleave(groups, -3) for t in (key, value))
    return attention_weights(query, key, attn_mask, is_causal, scale) @ value


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool, scale: float | None = None
) -> Tensor:
    if mask is None or mask.dtype == torch.bool:  # then no common factor matters: keep q k small
        query, key = (over(t, t.amax()) for t in (query, key))
    z = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        z = z.tril()
    if mask is not None:
        z = z * mask if mask.dtype == torch.bool else z + mask
    return softmax(z, -1)


def multi_head_attention(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """`F.multi_head_attention_forward` on (tokens, batch, channels), or (tokens, channels)."""
    a = bind(F.multi_head_attention_forward, args, kwargs)
    if a["bias_k"] is not None or a["add_zero_attn"]:
        raise SpecError("no positive form is known of attention with add_bias_kv or add_zero_attn")
    apart = [a[f"{letter}_proj_weight"] for letter in "qkv"]
    weights = apart if a["use_separate_proj_weight"] else a["in_proj_weight"].chunk(3)
    biases = [None] * 3 if a["in_proj_bias"] is None else a["in_proj_bias"].chunk(3)
    flat = a["query"].ndim == 2
    tokens = [t[:, None] if flat else t for t in (a["query"], a["key"], a["value"])]
    q, k, v = (  # (batch, heads, tokens, channels of a head)
        F.linear(t, w, b).unflatten(-1, (a["num_heads"], -1)).permute(1, 2, 0, 3)
        for t, w, b in zip(tokens, weights, biases)
    )
    z = attention_weights(q, k, joint_mask(a["attn_mask"], a["key_padding_mask"], q), False)
    y = F.linear((z @ v).permute(2, 0, 1, 3).flatten(2), a["out_proj_weight"], a["out_proj_bias"])
    z = z.mean(1) if a["average_attn_weights"] else z
    y, z = (y[:, 0], z[0]) if flat else (y, z)
    return y, z if a["need_weights"] else None


def joint_mask(attn: Tensor | None, padding: Tensor | None, q: Tensor) -> Tensor | None:
    """The two masks of multi-head attention (boolean: True removes) as one that is added."""
    added = []
    if attn is not None:
        added.append(attn.unflatten(0, q.shape[:2]) if attn.ndim == 3 else attn)
    if padding is not None:
        added.append(padding.reshape(q.shape[0], 1, 1, -1))
    removed = [
        q.new_zeros(m.shape).masked_fill(m, -torch.inf) if m.dtype == torch.bool else m
        for m in added
    ]
    return sum(removed[1:], removed[0]) if removed else None


FEW = 64
"""Output positions of a batch up to which a matrix product beats the convolution."""


def convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """`F.conv2d`; in float64 with few positions, a product with the rows of unfolded patches."""
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


def bind(function: Operation, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, defaults filled in."""
    bound = signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


ACTIVATIONS = (
    F.gelu, F.silu, F.relu6, F.hardswish, F.hardtanh, F.elu, F.selu, F.celu, F.leaky_relu, F.mish,
    F.prelu, F.rrelu, F.softplus, F.tanhshrink, F.hardshrink, F.softshrink, F.softsign, torch.celu,
    torch.selu, torch.rrelu, torch.tanh, Tensor.tanh, Tensor.prelu, torch.erf, Tensor.erf,
)  # fmt: skip
DROPOUTS = (
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout,
    torch.dropout,
)  # fmt: skip
DIVISIONS = (torch.div, Tensor.div, Tensor.div_, torch.true_divide, Tensor.true_divide)
RECIPROCALS = (torch.rsqrt, Tensor.rsqrt, torch.reciprocal, Tensor.reciprocal)

POSITIVE: Mapping[Operation, Operation] = {
    **dict.fromkeys(ACTIVATIONS, relu),
    **dict.fromkeys(DROPOUTS, same),
    **{divide: constant_denominator(divide) for divide in DIVISIONS},
    **{power: constant_reciprocal(power) for power in RECIPROCALS},
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, F.hardsigmoid), gate),
    **dict.fromkeys((torch.softmax, Tensor.softmax, F.softmax), softmax),
    **dict.fromkeys((F.log_softmax, torch.log_softmax, Tensor.log_softmax), same),
    **dict.fromkeys((torch.sigmoid_, Tensor.sigmoid_), in_place(gate)),
    **dict.fromkeys((torch.tanh_, Tensor.tanh_), in_place(relu)),
    F.glu: glu,
    F.normalize: normalize,
    F.local_response_norm: same,
    F.layer_norm: layer_norm,
    F.rms_norm: rms_norm,
    F.group_norm: group_norm,
    F.batch_norm: channel_norm(F.batch_norm),
    F.instance_norm: channel_norm(F.instance_norm),
    F.scaled_dot_product_attention: attention,
    F.multi_head_attention_forward: multi_head_attention,
    F.conv2d: convolution,
    F.embedding: embedding,
}
"""What is computed instead, by torch function."""


class PositivePaths(TorchFunctionMode):
    """While active, every operation that POSITIVE lists is its positive form."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return POSITIVE.get(func, func)(*args, **(kwargs or {}))
