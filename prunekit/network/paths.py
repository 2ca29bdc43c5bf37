"""A network as the sum of its absolute paths: which operation becomes which positive form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from prunekit.network.composed import COMPOSED
from prunekit.network.pathattention import attention, multi_head_attention
from prunekit.network.pathforms import (
    Operation,
    absolute_wave,
    channel_norm,
    constant_denominator,
    constant_reciprocal,
    convolution,
    difference,
    embedding,
    gate,
    glu,
    group_norm,
    in_place,
    interpolation,
    layer_norm,
    normalize,
    peak,
    relu,
    rms_norm,
    same,
    softmax,
    weight_norm,
)

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
ROUNDINGS = (
    torch.fake_quantize_per_tensor_affine, torch.fake_quantize_per_channel_affine,
    torch.fused_moving_avg_obs_fake_quant,
)  # fmt: skip
PEAKS = (torch.max, Tensor.max, torch.amax, Tensor.amax)
DIFFERENCES = (
    torch.sub, Tensor.sub, Tensor.sub_, Tensor.__sub__, torch.subtract, Tensor.subtract,
)  # fmt: skip
RECIPROCALS = (torch.rsqrt, Tensor.rsqrt, torch.reciprocal, Tensor.reciprocal)

POSITIVE: Mapping[Operation, Operation] = {
    **dict.fromkeys(ACTIVATIONS, relu),
    **dict.fromkeys((*DROPOUTS, *ROUNDINGS), same),
    **{divide: constant_denominator(divide) for divide in DIVISIONS},
    **{power: constant_reciprocal(power) for power in RECIPROCALS},
    **{largest: peak(largest) for largest in PEAKS},
    **{subtract: difference(subtract) for subtract in DIFFERENCES},
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, F.hardsigmoid), gate),
    **dict.fromkeys((torch.softmax, Tensor.softmax, F.softmax), softmax),
    **dict.fromkeys((F.log_softmax, torch.log_softmax, Tensor.log_softmax), same),
    **dict.fromkeys((torch.sigmoid_, Tensor.sigmoid_), in_place(gate)),
    **dict.fromkeys((torch.tanh_, Tensor.tanh_), in_place(relu)),
    **dict.fromkeys((torch.lerp, Tensor.lerp), interpolation),
    F.glu: glu,
    F.normalize: normalize,
    torch._weight_norm: weight_norm,
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

UNSIGNED: Mapping[Operation, Operation] = {
    **dict.fromkeys((torch.neg, torch.negative, Tensor.neg, Tensor.negative, Tensor.__neg__), same),
    **{wave: absolute_wave(wave) for wave in (torch.cos, torch.sin, Tensor.cos, Tensor.sin)},
}
"""And what besides, where a minus or a wave would make a path count negatively."""


class PositivePaths(TorchFunctionMode):
    """While active, a model computes the sum of its absolute paths.

    A path weight is the product of the absolute weights along a path from input to output. With
    non-negative inputs and parameters, a network of convolutions, linear maps, pooling and ReLU
    sums path weights as it is. Here every other operation becomes a monotone one, of degree one
    in the input:

        an activation            relu(x)
        a norm with g and b      g x + b             (no centring, no scaling)
        a gate, sigmoid(z)       z / stop(z)         (open, 1, where z > 0; 0 elsewhere)
        softmax(z)               relu(z) / stop(sum relu(z)), 0 where the sum is 0
        attention(q, k, v)       softmax(q k^T) v in that form: linear in q, in k and in v
        a mask of attention      removes its entries, whether boolean or of -inf
        a denominator            a constant, 1 where it is 0
        x - max x                x             (as before a softmax)
        dropout, quantization    x
        lerp(a, b, z) by a gate  z (a + b)
        a recurrent kernel       the same forms, step by step

    stop() is constant for the gradient, so no value grows faster than the flow itself. What
    directs the flow (a gate; softmax, hence q and k) has an eighth of the gradient: it gets a
    share of the flow, and the blocks before it are not counted over and over.

    unsigned: a minus sign is left out, too, and a wave of constants has its absolute value, as
    rotary positions need.
    """

    def __init__(self, unsigned: bool = False) -> None:
        super().__init__()
        self.forms = {**POSITIVE, **UNSIGNED} if unsigned else POSITIVE

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in COMPOSED:
            with self:
                return COMPOSED[func](*args, **(kwargs or {}))
        return self.forms.get(func, func)(*args, **(kwargs or {}))
