"""A module of Linear, Conv2d and ReLU layers as a chain of float64 steps, with operator norms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunekit.errors import SpecError
from prunekit.theory.compact import Compact
from prunekit.theory.tracing import traced

EXPLICIT = 1 << 21
"""Entries up to which a convolution is written as a matrix to take its norm."""
ROUNDING = 1 + 1e-9
"""Factor that covers the float64 rounding of a norm."""


@attrs.frozen(eq=False)
class Affine:
    """x -> W x + b; `linear(x, W)` applies any tensor of W's shape. All float64, x has a batch."""

    weight: Tensor
    bias: Tensor | None
    linear: Callable[[Tensor, Tensor], Tensor]
    norm: Callable[[Tensor, tuple[int, ...]], float]
    """Upper bound of the 2-norm of `linear(., W)` for inputs of a shape."""
    kind: tuple[object, ...]
    """Equal for layers that differ in their numbers only."""

    def shift(self, outputs: Tensor) -> Tensor:
        """The bias, shaped to be added to `outputs`; zeros without one."""
        if self.bias is None:
            return torch.zeros((), dtype=torch.float64)
        return self.bias.reshape(-1, *[1] * (outputs.ndim - 2))

    def __call__(self, x: Tensor) -> Tensor:
        outputs = self.linear(x, self.weight)
        return outputs + self.shift(outputs)


@attrs.frozen
class ReLU:
    """x -> max(x, 0)."""

    kind: tuple[object, ...] = ("ReLU",)

    def __call__(self, x: Tensor) -> Tensor:
        return x.clamp(min=0)


@attrs.frozen
class Flatten:
    """(batch, ...) -> (batch, features)."""

    kind: tuple[object, ...] = ("Flatten",)

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1)


Step = Affine | ReLU | Flatten


def lengths(x: Tensor) -> Tensor:
    """The 2-norm of each example, (batch,), also where squares leave what float64 holds."""
    rows = x.flatten(1)
    norms, largest = rows.norm(dim=1), rows.abs().amax(1).clamp(min=1e-300)
    scaled = largest * (rows / largest[:, None]).norm(dim=1)
    return torch.where((norms > 1e-140) & norms.isfinite(), norms, scaled)


def chain(module: nn.Module, name: str) -> list[Step]:
    """The steps of a module; SpecError names the layer that is not known.

    A module of your own is traced.
    """
    if not isinstance(module, nn.Module):
        raise SpecError(f"{name} must be a torch module: {module!r:.60}")
    steps = list(_steps(module, name))
    if not steps:
        raise SpecError(f"{name} has no layer; give a module of Linear, Conv2d and ReLU layers")
    return steps


def _steps(module: nn.Module, name: str) -> list[Step]:
    plain = type(module).forward is nn.Sequential.forward or isinstance(module, Compact)
    if isinstance(module, nn.Sequential) and plain:
        return [step for key, child in module.named_children() for step in _steps(child, key)]
    for cls, read in READERS.items():
        if isinstance(module, cls):
            return read(module, name)
    if type(module).__module__.startswith("torch.nn"):
        raise SpecError(
            f"layer {name} is a {type(module).__name__}, which is not covered; expected Linear, "
            "Conv2d, ReLU, Flatten and Identity"
        )
    return _steps(traced(module, name), name)


def _linear(layer: nn.Linear, name: str) -> list[Step]:
    return [linear_step(*_numbers(layer, name))]


def linear_step(weight: Tensor, bias: Tensor | None) -> Affine:
    """x -> weight x + bias on the last dimension."""

    def norm(weight: Tensor, shape: tuple[int, ...]) -> float:
        return float(torch.linalg.matrix_norm(weight, 2)) * ROUNDING

    return Affine(weight, bias, functional.linear, norm, ("Linear", tuple(weight.shape)))


def _conv(layer: nn.Conv2d, name: str) -> list[Step]:
    if layer.padding_mode not in ("zeros", "circular"):
        raise SpecError(
            f"layer {name} pads by {layer.padding_mode!r}; expected 'zeros' or 'circular'"
        )
    weight, bias = _numbers(layer, name)
    stride, dilation, groups = layer.stride, layer.dilation, layer.groups
    margins = _margins(layer)
    circular = layer.padding_mode == "circular" and any(margins)

    def linear(x: Tensor, weight: Tensor) -> Tensor:
        padded = functional.pad(x, margins, mode="circular" if circular else "constant")
        return functional.conv2d(padded, weight, None, stride, 0, dilation, groups)

    def norm(weight: Tensor, shape: tuple[int, ...]) -> float:
        return _conv_norm(linear, weight, shape, margins, circular, dilation, groups)

    kind = ("Conv2d", tuple(weight.shape), stride, margins, circular, dilation, groups)
    return [Affine(weight, bias, linear, norm, kind)]


def _margins(layer: nn.Conv2d) -> tuple[int, ...]:
    """(left, right, top, bottom) that the layer pads by."""
    if layer.padding == "valid":
        return (0, 0, 0, 0)
    if isinstance(layer.padding, str):
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size)]
        (top, bottom), (left, right) = [(t // 2, t - t // 2) for t in totals]
        return (left, right, top, bottom)
    vertical, horizontal = layer.padding
    return (horizontal, horizontal, vertical, vertical)


def _conv_norm(
    linear: Callable[[Tensor, Tensor], Tensor],
    weight: Tensor,
    shape: tuple[int, ...],
    margins: Sequence[int],
    circular: bool,
    dilation: Sequence[int],
    groups: int,
) -> float:
    """Exact where the matrix is small; else the norm on the torus, of which this is a part.

    A convolution with zero padding is part of the circular one on the padded map: rows and
    columns of a matrix left out never raise its norm. A stride leaves out rows too.
    """
    inputs = math.prod(shape)
    outputs = linear(torch.zeros((1, *shape), dtype=torch.float64), weight).numel()
    if inputs * outputs <= EXPLICIT:
        units = torch.eye(inputs, dtype=torch.float64).reshape(inputs, *shape)
        return float(torch.linalg.matrix_norm(linear(units, weight).flatten(1), 2)) * ROUNDING
    left, right, top, bottom = margins
    padded = shape[1] + top + bottom, shape[2] + left + right
    full = spread(weight, dilation, groups)
    if not circular:
        return torus_norm(full, padded) * ROUNDING
    positions = [size - k + 1 for size, k in zip(padded, full.shape[2:])]
    covered = [
        max(position, k) <= n for position, k, n in zip(positions, full.shape[2:], shape[1:])
    ]
    if all(covered):
        return torus_norm(full, shape[1:]) * ROUNDING  # no output of the torus comes twice
    # padding by repeating an entry up to `times` times is an operator of norm sqrt(times)
    times = math.prod(math.ceil(p / size) for p, size in zip(padded, shape[1:]))
    return torus_norm(full, padded) * math.sqrt(times) * ROUNDING


def spread(weight: Tensor, dilation: Sequence[int], groups: int) -> Tensor:
    """The filter with zeros for dilation and for channels that its groups do not connect."""
    out, per_group, height, width = weight.shape
    full = weight.new_zeros(
        out, per_group * groups, (height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1
    )
    for group in range(groups):
        rows = slice(group * out // groups, (group + 1) * out // groups)
        columns = slice(group * per_group, (group + 1) * per_group)
        full[rows, columns, :: dilation[0], :: dilation[1]] = weight[rows]
    return full


def torus_norm(weight: Tensor, size: Sequence[int]) -> float:
    """max over frequencies of the 2-norm of the filter's DFT: B, Lemma 7, on any rectangle."""
    if weight.shape[2] > size[0] or weight.shape[3] > size[1]:
        raise SpecError(
            f"a kernel of {tuple(weight.shape[2:])} exceeds the padded map {tuple(size)}"
        )
    spectrum = torch.fft.fft2(weight, s=tuple(size)).permute(2, 3, 0, 1)
    return float(torch.linalg.matrix_norm(spectrum, 2).max())


def _numbers(layer: nn.Linear | nn.Conv2d, name: str) -> tuple[Tensor, Tensor | None]:
    tensors = [layer.weight, layer.bias]
    if any(tensor is not None and not tensor.isfinite().all() for tensor in tensors):
        raise SpecError(f"layer {name} has a weight that is NaN or infinite; give finite numbers")
    weight, bias = (None if t is None else t.detach().cpu().double() for t in tensors)
    assert weight is not None
    return weight, bias


READERS: Mapping[type[nn.Module], Callable[..., list[Step]]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.ReLU: lambda layer, name: [ReLU()],
    nn.Flatten: lambda layer, name: [Flatten()],
    nn.Identity: lambda layer, name: [],
}
