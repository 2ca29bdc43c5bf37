"""Random weights of one size in each layer, kept as signs: one byte for each weight.

Signed constants are sign * c, so float32 weights need not stay in memory while scores are learned.
Every operation gives the bits that it would give on the floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import attrs
import torch
from torch import Tensor

from prunekit.network import put
from prunekit.tables import Table

Scores = Mapping[str, Tensor]
Thresholds = Mapping[str, float | Tensor]

CHUNK = 1 << 18  # weights that are floats at a time


@attrs.define(eq=False)
class Signs(Mapping[str, Tensor]):
    """Parameter name -> float32 weights, made anew by each look-up: changing one changes nothing.

    signs: int8, +1 or -1. sizes: what each layer's signs are multiplied with, > 0.
    """

    signs: dict[str, Tensor]
    sizes: dict[str, float]
    tables: tuple[Table, Table] = attrs.field(factory=lambda: (Table(), Table()), repr=False)

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Signs | None:
        """The signs of `weights`; None unless each tensor has one size and is float32."""
        sizes = {name: size_of(weight) for name, weight in weights.items()}
        known = {name: size for name, size in sizes.items() if size is not None}
        if len(known) < len(sizes):
            return None
        return cls({name: w.sign().to(torch.int8) for name, w in weights.items()}, known)

    def __getitem__(self, name: str) -> Tensor:
        return self.signs[name].to(torch.float32).mul_(self.sizes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.signs)

    def __len__(self) -> int:
        return len(self.signs)

    def fits(self, name: str, where: Tensor, values: Tensor) -> bool:
        """Whether `values`, given as to `put`, are of this layer's size."""
        given = values[where] if where.dtype == torch.bool else values
        return bool((given.abs() == self.sizes[name]).all())

    def put(self, name: str, where: Tensor, values: Tensor) -> int:
        """As `network.put`, for values that fit."""
        return put(self.signs[name], where, values.sign())

    def write(self, name: str, ranked: Tensor, threshold: float | Tensor, out: Tensor) -> None:
        """As `keep_at_least` of the weights: one pass, no mask and no floats in memory."""
        if isinstance(threshold, Tensor) or not in_order(self.signs[name], ranked, out):
            keep_at_least(ranked, threshold, self[name], out)
            return
        floats = torch.empty(CHUNK)
        for signs, scores, part in chunks(self.signs[name], ranked, out.detach()):
            weights = floats[: len(signs)].copy_(signs)
            keep_at_least(scores, threshold, weights.mul_(self.sizes[name]), part)

    def multiply(self, name: str, gradient: Tensor) -> None:
        """gradient *= weights, in place."""
        if not in_order(self.signs[name], gradient):
            gradient.mul_(self[name])
            return
        floats = torch.empty(CHUNK)
        for signs, part in chunks(self.signs[name], gradient):
            part.mul_(floats[: len(signs)].copy_(signs).mul_(self.sizes[name]))

    def write_all(self, ranked: Scores, thresholds: Thresholds, outs: Scores) -> None:
        """`write` for each of `outs`."""
        write_all(self, self.signs, self.sizes, ranked, thresholds, outs)

    def multiply_all(self, gradients: Scores) -> None:
        """`multiply` for each of `gradients`."""
        multiply_all(self, self.signs, self.sizes, gradients)


@attrs.frozen(eq=False)
class Floats:
    """Weights as they are, with the operations of `Signs`."""

    weights: dict[str, Tensor]
    tables: tuple[Table, Table] = attrs.field(factory=lambda: (Table(), Table()), repr=False)

    def fits(self, name: str, where: Tensor, values: Tensor) -> bool:
        return True

    def put(self, name: str, where: Tensor, values: Tensor) -> int:
        return put(self.weights[name], where, values)

    def write(self, name: str, ranked: Tensor, threshold: float | Tensor, out: Tensor) -> None:
        keep_at_least(ranked, threshold, self.weights[name], out)

    def multiply(self, name: str, gradient: Tensor) -> None:
        gradient.mul_(self.weights[name])

    def write_all(self, ranked: Scores, thresholds: Thresholds, outs: Scores) -> None:
        write_all(self, self.weights, None, ranked, thresholds, outs)

    def multiply_all(self, gradients: Scores) -> None:
        multiply_all(self, self.weights, None, gradients)


class Held(Protocol):
    """What `Signs` and `Floats` do layer by layer; tables: for writing and for multiplying."""

    @property
    def tables(self) -> tuple[Table, Table]: ...

    def write(self, name: str, ranked: Tensor, threshold: float | Tensor, out: Tensor) -> None: ...

    def multiply(self, name: str, gradient: Tensor) -> None: ...


def write_all(
    held: Held,
    weights: Scores,
    sizes: Mapping[str, float] | None,
    ranked: Scores,
    thresholds: Thresholds,
    outs: Scores,
) -> None:
    """Write each of `outs`: by one kernel for all where there is one for them, else in turn."""
    if any(out.is_cuda for out in outs.values()):
        from prunekit import layers_triton  # importing Triton takes long, and few need it

        constants = None if sizes is None else [sizes[name] for name in outs]
        given, places = [weights[name] for name in outs], list(outs.values())
        scores = [ranked[name] for name in outs]
        least = [t for name in outs if isinstance(t := thresholds[name], Tensor)]
        known = len(least) == len(outs)
        if known and layers_triton.takes(given, constants, [scores, places], least):
            layers_triton.write(held.tables[0], given, constants, scores, least, places)
            return
    for name, out in outs.items():
        held.write(name, ranked[name], thresholds[name], out)


def multiply_all(
    held: Held, weights: Scores, sizes: Mapping[str, float] | None, gradients: Scores
) -> None:
    """Multiply each of `gradients` in place; see `write_all`."""
    if any(gradient.is_cuda for gradient in gradients.values()):
        from prunekit import layers_triton

        constants = None if sizes is None else [sizes[name] for name in gradients]
        given, taken = [weights[name] for name in gradients], list(gradients.values())
        if layers_triton.takes(given, constants, [taken]):
            layers_triton.multiply(held.tables[1], given, constants, taken)
            return
    for name, gradient in gradients.items():
        held.multiply(name, gradient)


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


def chunks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same parts of contiguous tensors, CHUNK elements each."""
    return zip(*(tensor.view(-1).split(CHUNK) for tensor in tensors))


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
