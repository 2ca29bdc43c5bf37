"""Random weights while scores over them are learned: as they are, or as one byte each.

Signed constants are sign * c, so their float32 need not stay in memory. Every operation on signs
gives the bits that it would give on the floats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor

from prunekit.network.model import put

if TYPE_CHECKING:
    from prunekit.training.layers_triton import LayerKernels

Tensors = Mapping[str, Tensor]
Thresholds = Mapping[str, float | Tensor]

CHUNK = 1 << 18  # weights that are floats at a time


@attrs.define(eq=False)
class Frozen(Mapping[str, Tensor]):
    """Parameter name -> float32 weights.

    held: the weights; or int8 signs, +1 or -1, where `sizes` says what each layer's are multiplied
    with, > 0. A look-up then makes the weights anew: changing one changes nothing.
    """

    held: dict[str, Tensor]
    sizes: dict[str, float] | None = None

    @classmethod
    def of(cls, weights: Tensors) -> Frozen:
        """`weights` as signs where every tensor is float32 and has one size, else as they are."""
        sizes = {name: size_of(weight) for name, weight in weights.items()}
        known = {name: size for name, size in sizes.items() if size is not None}
        if len(known) < len(sizes):
            return cls(dict(weights))
        return cls({name: w.sign().to(torch.int8) for name, w in weights.items()}, known)

    def __getitem__(self, name: str) -> Tensor:
        held = self.held[name]
        return held if self.sizes is None else held.to(torch.float32).mul_(self.sizes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)

    def use_floats(self) -> None:
        """Hold the weights as they are from now on, signs no more."""
        self.held, self.sizes = dict(self), None

    def can_hold(self, name: str, where: Tensor, values: Tensor) -> bool:
        """Whether `put` can be given these: signs are of their layer's size."""
        if self.sizes is None:
            return True
        fresh = values[where] if where.dtype == torch.bool else values
        return bool((fresh.abs() == self.sizes[name]).all())

    def put(self, name: str, where: Tensor, values: Tensor) -> int:
        """As `network.model.put`, for values that can be held."""
        return put(self.held[name], where, values if self.sizes is None else values.sign())

    def write(self, name: str, ranked: Tensor, threshold: float | Tensor, out: Tensor) -> None:
        """As `keep_at_least` of the weights: one pass, no mask and no floats in memory."""
        chunked = self.sizes is not None and in_order(self.held[name], ranked, out)
        if isinstance(threshold, Tensor) or not chunked:
            keep_at_least(ranked, threshold, self[name], out)
            return
        for weights, scores, part in self.chunks(name, ranked, out.detach()):
            keep_at_least(scores, threshold, weights, part)

    def multiply(self, name: str, gradient: Tensor) -> None:
        """gradient *= weights, in place."""
        if self.sizes is None or not in_order(self.held[name], gradient):
            gradient.mul_(self[name])
            return
        for weights, part in self.chunks(name, gradient):
            part.mul_(weights)

    def chunks(self, name: str, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The same parts of the weights, given as signs, and of `tensors`, CHUNK elements each."""
        assert self.sizes is not None
        floats, size = torch.empty(CHUNK), self.sizes[name]
        flat = (tensor.view(-1).split(CHUNK) for tensor in (self.held[name], *tensors))
        for signs, *parts in zip(*flat):
            yield floats[: len(signs)].copy_(signs).mul_(size), *parts

    def write_all(self, ranked: Tensors, thresholds: Thresholds, outs: Tensors) -> None:
        """`write` each of `outs`: by one kernel for all where there is one for them."""
        on_gpu = any(out.is_cuda for out in outs.values())
        if on_gpu and self.kernels.write(
            *self.rows(outs),
            [ranked[name] for name in outs],
            [thresholds[name] for name in outs],
            list(outs.values()),
        ):
            return
        for name, out in outs.items():
            self.write(name, ranked[name], thresholds[name], out)

    def multiply_all(self, gradients: Tensors) -> None:
        """`multiply` each of `gradients`; see `write_all`."""
        on_gpu = any(gradient.is_cuda for gradient in gradients.values())
        if on_gpu and self.kernels.multiply(*self.rows(gradients), list(gradients.values())):
            return
        for name, gradient in gradients.items():
            self.multiply(name, gradient)

    @cached_property
    def kernels(self) -> LayerKernels:
        """For layers on a GPU."""
        from prunekit.training.layers_triton import LayerKernels  # importing Triton takes long

        return LayerKernels()

    def rows(self, names: Iterable[str]) -> tuple[list[Tensor], list[float] | None]:
        """What is held of each, and the sizes of signs, as the kernels take them."""
        held = [self.held[name] for name in names]
        return held, None if self.sizes is None else [self.sizes[name] for name in names]


def size_of(weight: Tensor) -> float | None:
    """|w| where it is one positive number for the whole tensor, else None."""
    if weight.dtype != torch.float32:
        return None
    if weight.numel() == 0:
        return 1.0
    size = float(weight.reshape(-1)[0].abs())
    return size if size > 0 and bool((weight.abs() == size).all()) else None


def in_order(*tensors: Tensor) -> bool:
    """Whether chunks pay: on the CPU, all in row-major order. Elsewhere a kernel costs a launch."""
    return all(tensor.device.type == "cpu" and tensor.is_contiguous() for tensor in tensors)


def keep_at_least(ranked: Tensor, threshold: float | Tensor, weight: Tensor, out: Tensor) -> None:
    """out = weight where ranked >= threshold, else 0: one pass, no mask in memory.

    A threshold that is a tensor of one number stays on its device; it costs a mask for a moment.
    """
    if isinstance(threshold, Tensor):
        torch.where(ranked >= threshold, weight, weight.new_zeros(()), out=out.detach())
        return
    least, lower = torch.tensor([threshold, -torch.inf], dtype=ranked.dtype)
    below = float(torch.nextafter(least, lower))
    torch.ops.aten.threshold_backward.grad_input(weight, ranked, below, grad_input=out.detach())
