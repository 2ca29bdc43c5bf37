"""Output rows: the entries of a parameter that one output of its layer is made with."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from prunekit.network.names import Layer


@attrs.frozen
class Rows:
    """A parameter seen as (rows, entries of a row).

    shape: the parameter's, or one it is viewed as. outputs: the dimensions that number the rows,
    in order; the others, in order, number the entries of a row.
    """

    shape: tuple[int, ...]
    outputs: tuple[int, ...] = (0,)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return math.prod(self.shape[d] for d in self.outputs)

    @property
    def width(self) -> int:
        """How many entries a row has."""
        return math.prod(self.shape[d] for d in self._order[len(self.outputs) :])

    @property
    def _order(self) -> tuple[int, ...]:
        return (*self.outputs, *(d for d in range(len(self.shape)) if d not in self.outputs))

    def split(self, tensor: Tensor) -> Tensor:
        """(rows, entries) of a tensor of the parameter's shape; a view where it can be one."""
        return tensor.reshape(self.shape).permute(self._order).reshape(self.count, self.width)

    def join(self, rows: Tensor, like: Tensor) -> Tensor:
        """The tensor, of the shape of `like`, whose rows these are."""
        order = self._order
        turned = rows.reshape([self.shape[d] for d in order])
        return turned.permute([order.index(d) for d in range(len(order))]).reshape(like.shape)


def rows_of(layer: Layer, summed: frozenset[int] = frozenset()) -> Rows:
    """The output rows of a layer's parameter; where its use does not tell, the first form that
    fits counts.

    summed: its dimensions that a forward pass sums with those of data; empty = not known.
    """
    if summed and len(layer.shape) > 1:
        return Rows(
            tuple(layer.shape), tuple(d for d in range(len(layer.shape)) if d not in summed)
        )
    return next(form(layer) for fits, form in FORMS if fits(layer))


def guessed(layer: Layer) -> bool:
    """Whether the form of a parameter is a guess: no module of a known kind holds it."""
    module, known = layer.module, type(layer.module).__module__.startswith("torch.")
    said = hasattr(module, "nf") or hasattr(module, "is_transposed")
    return len(layer.shape) > 1 and not known and not said and not isinstance(module, KINDS)


def _transposed(layer: Layer) -> Rows:
    groups, (inputs, *others) = int(getattr(layer.module, "groups", 1)), layer.shape
    return Rows((groups, inputs // groups, *others), (0, 2))


def _experts(layer: Layer) -> Rows:
    """(experts, out, in), or (experts, in, out) where the module says so."""
    turned = getattr(layer.module, "is_transposed", False)
    return Rows(tuple(layer.shape), (0, 2) if turned else (0, 1))


KINDS = (
    nn.Linear, _ConvNd, nn.Embedding, nn.EmbeddingBag, nn.Bilinear, nn.MultiheadAttention,
    nn.RNNBase, nn.RNNCellBase,
)  # fmt: skip
"""Modules whose parameters have a known form."""

FORMS: tuple[tuple[Callable[[Layer], bool], Callable[[Layer], Rows]], ...] = (
    (lambda layer: len(layer.shape) < 2, lambda layer: Rows(tuple(layer.shape), ())),
    (lambda layer: isinstance(layer.module, _ConvTransposeNd), _transposed),
    (
        lambda layer: len(layer.shape) == 2 and hasattr(layer.module, "nf"),
        lambda layer: Rows(tuple(layer.shape), (1,)),
    ),
    (
        lambda layer: len(layer.shape) == 3 and not isinstance(layer.module, _ConvNd | nn.Bilinear),
        _experts,
    ),
    (lambda layer: True, lambda layer: Rows(tuple(layer.shape))),
)
"""Which rows: one for a parameter of one dimension; the outputs of a transposed convolution, by
group; the columns of transformers' Conv1D (in, out), known by its `nf`; those of each expert;
dimension 0 of anything else."""
