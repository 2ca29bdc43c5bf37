"""The positive form of attention: softmax(q k^T) v, linear in q, in k and in v."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prunekit.errors import SpecError
from prunekit.network.pathforms import Operation, over, softmax


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


def bind(function: Operation, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, defaults filled in."""
    bound = signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments
