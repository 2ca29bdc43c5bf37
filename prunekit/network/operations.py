"""What torch's operations do with a weight: operands, kernels, tables, and where zeros stay."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

PRODUCTS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot", "inner", "matmul", "linear"), (0, 1)),
    **dict.fromkeys(("_sparse_mm", "_int_mm", "_grouped_mm", "_scaled_mm"), (0, 1)),
    **dict.fromkeys(("_scaled_grouped_mm", "linalg_vecdot", "_cslt_sparse_mm"), (0, 1)),
    **dict.fromkeys(("addmm", "baddbmm", "addmv", "addbmm", "_addmm_activation"), (1, 2)),
    **dict.fromkeys(("sparse_sampled_addmm", "_sparse_addmm"), (1, 2)),
    "_trilinear": (0, 1, 2),
}
"""Matrix products: the places of their operands."""

LOOKUPS = frozenset(
    (
        *("embedding", "_embedding_bag", "_embedding_bag_forward_only", "embedding_bag", "index"),
        *("_unsafe_index", "index_select", "gather", "take"),
    )
)
"""What takes rows of its first argument."""

LIKE = (("_like",), ("new_", "empty"))
"""Ends and beginnings of operations that read a shape only."""

AS_A_WHOLE = frozenset(
    ("cat", "stack", "_stack", "copy", "index_put", "_index_put_impl", "scatter")
)
"""What puts parts side by side: each of them, however small, goes on."""

ZEROS_STAY = frozenset(
    re.findall(
        r"\w+",
        """
    mul neg abs relu sign sgn sqrt square sin tan tanh asin atan sinh asinh expm1 log1p erf trunc
    round floor ceil hardshrink softshrink leaky_relu gelu silu elu mish _prelu_kernel hardtanh
    nan_to_num fmod remainder
    clone copy _to_copy contiguous cat stack _stack index _unsafe_index index_select gather flip
    roll repeat constant_pad_nd triu tril index_put _index_put_impl scatter slice_scatter
    select_scatter _unsafe_view view_copy expand_copy permute_copy t_copy transpose_copy
    slice_copy select_copy detach_copy alias_copy as_strided_copy squeeze_copy unsqueeze_copy
    split_copy split_with_sizes_copy unbind_copy _reshape_copy pixel_shuffle pixel_unshuffle
    native_dropout dropout im2col col2im view_as_real view_as_complex complex polar real imag
    _to_dense to_dense _to_sparse to_sparse block_diag
    fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask
    _fake_quantize_per_tensor_affine_cachemask_tensor_qparams _fused_moving_avg_obs_fq_helper
    _weight_norm_interface _weight_norm div masked_select renorm
    """,
    )
)
"""What gives 0 where its (first) argument is 0, or puts that 0 somewhere else."""

Given = Sequence[tuple[Tensor, Mapping[str, bool]]]
"""The tensors that an operation is given, each with its sources."""


def keeps_zeros(base: str, args: Sequence[Any], given: Given) -> bool:
    """Whether a zero of the sources of an operation's arguments is a zero of its result."""
    if base == "div":  # by a divisor, never of it
        return bool(given) and len(given[-1:]) == 1 and _divides(given)
    if base in ("add", "sub", "rsub"):
        return _aligned(args, given)
    if base == "pow":
        return isinstance(args[1], int | float) and args[1] > 0
    if base == "clamp":
        low, high = [*args[1:], None, None][:2]
        return (low is None or low <= 0) and (high is None or high >= 0)
    if base == "masked_fill":
        return _is_zero(args[2])
    if base == "where":
        return len(args) == 3 and any(sources for _, sources in given) and _other_is_zero(args)
    return base in ZEROS_STAY


def _divides(given: Given) -> bool:
    """Whether what is divided is as large as its divisor, which then only scales it."""
    return len(given) < 2 or given[0][0].numel() >= given[1][0].numel()


def _aligned(args: Sequence[Any], given: Given) -> bool:
    """Whether a sum is of values with the same sources, entry by entry: all of them are 0 then.

    So quantized weights are trained: w + (q(w) - w).detach(), with q(0) = 0.
    """
    numbers = [value for value in args[:2] if not isinstance(value, Tensor)]
    if numbers:
        return all(number == 0 for number in numbers)
    first, sources = given[0]
    return len(given) == 2 and all(
        names.keys() == sources.keys()
        and all(names.values())
        and (tensor.shape, tensor.stride()) == (first.shape, first.stride())
        for tensor, names in given
    )


def _other_is_zero(args: Sequence[Any]) -> bool:
    return any(_is_zero(value) for value in args[1:])


def _is_zero(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not bool(value.detach().any())
    return isinstance(value, int | float) and value == 0


def kernel_of(
    func: Any, base: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Tensor | None:
    """The kernel of a convolution of any kind; None for other operations."""
    if "conv" not in base or "backward" in base:
        return None
    names = [argument.name for argument in func._schema.arguments]
    place = names.index("weight") if "weight" in names else 1
    kernel = args[place] if place < len(args) else kwargs.get("weight")
    return kernel if isinstance(kernel, Tensor) else None


def recurrent_weights(func: Any, base: str, args: Sequence[Any]) -> list[Tensor]:
    """The matrices of a recurrent kernel, of torch, oneDNN or cuDNN; [] for other operations."""
    if not re.search("lstm|gru|rnn", base) or "cell" in base or "backward" in base:
        return []
    found: list[Tensor] = []
    for argument, value in zip(func._schema.arguments, args):
        if re.match(r"(weight|params)\d*$", argument.name):
            held = value if isinstance(value, list | tuple) else [value]
            found += [t for t in held if isinstance(t, Tensor) and t.ndim == 2]
    return found
