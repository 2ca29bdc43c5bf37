"""What a scorer sees: a model whose maskable parameters hold effective weights w * m."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.network.choice import Choice
from prunekit.network.computed import Computed, computed_in, foreign_masks, normed_in
from prunekit.network.layers import surveyed
from prunekit.network.masking import write_masked
from prunekit.network.matching import renamed
from prunekit.network.names import Layer, parameters_of, refuse_hollow
from prunekit.network.objective import Objective
from prunekit.network.rows import Rows, rows_of
from prunekit.network.survey import Survey
from prunekit.network.taint import Use

Scores = dict[str, Tensor]
"""Parameter name -> one finite float per weight, of the parameter's shape."""

Mode = Literal["eval", "train"]
"""Batch-norm mode while scoring: running statistics (eval) or those of the batch (train)."""


@attrs.define(eq=False)
class Network:
    """The model, its weights before masking, and the mask.

    model: its maskable parameters hold `weights[name] * masks[name]`.
    layers: name -> Layer. weights: name -> values before masking. masks: name -> bool, or None
    where nothing is masked yet; both of their parameter's shape. input_shape: without the batch
    dimension, or None.
    objective: how the model is called on a batch, and the loss that it comes to.
    survey: what of the model is maskable, and what is not. held: masks that the model has already,
    its own or of torch.nn.utils.prune: what they prune is never kept; None = there are none.
    computed: the weights that the model computes from its parameters. normed: those that are
    divided by norms of their own, see `normed_in`. written: parameters that a forward pass writes
    to. summed: the dimensions of a parameter that the pass sums with data, where it tells them,
    always the same.
    memo: a scorer may keep here, between rounds, what depends on the weights alone; the core
    empties it whenever a weight changes. parts: so many losses a batch has that together are its
    own, see `batch_losses`: more than 1 where whole batches did not fit into memory.
    """

    model: nn.Module
    layers: dict[str, Layer]
    weights: dict[str, Tensor]
    masks: dict[str, Tensor] | None = None
    input_shape: tuple[int, ...] | None = None
    memo: dict[str, Any] = attrs.field(factory=dict)
    objective: Objective = attrs.field(factory=Objective)
    survey: Survey | None = None
    held: dict[str, Tensor] | None = None
    computed: list[Computed] = attrs.field(factory=list)
    normed: dict[str, int | None] = attrs.field(factory=dict)
    summed: dict[str, frozenset[int]] = attrs.field(factory=dict)
    written: list[nn.Parameter] = attrs.field(factory=list)
    parts: int = 1

    @classmethod
    def of(
        cls,
        model: nn.Module,
        include: Sequence[Choice] | None = None,
        exclude: Sequence[Choice] | None = None,
        input_shape: tuple[int, ...] | None = None,
        masks: Mapping[str, Tensor] | None = None,
        uses: Mapping[str, Use] | None = None,
    ) -> Network:
        """The network of `model` as it stands; with `masks`, its parameters are masked in place.

        A weight without a mask is kept whole. uses: what a forward pass does with the parameters,
        see `first_pass`; None = a rule decides which are weights. Warns where matrices are left
        out. Raises SpecError for a mask that fits no weight, and for weights whose zeros would be
        no zeros where they are used.
        """
        refuse_hollow(model)
        survey = surveyed(model, include, exclude, uses)
        survey.refuse_lost(model)
        survey.warn()
        survey.warn_of_names()
        layers = survey.layers
        weights = {name: layer.parameter.detach().clone() for name, layer in layers.items()}
        network = cls(model, layers, weights, None, input_shape, survey=survey)
        network.summed = summed_in(uses or {})
        network.computed = list(computed_in(model))
        network.normed = survey.normed | normed_in(network.computed, layers)
        network.written = [p for n, p in parameters_of(model).items() if uses and uses[n].written]
        network.hold(survey.held)
        network.hold(foreign_masks(model, layers) if network.computed else {})
        if masks is not None or network.held is not None:
            wanted = network.fitting({} if masks is None else masks)
            try:
                network.mask(wanted)
            except SpecError:
                network.mask(None)
                raise
        return network

    def hold(self, masks: Mapping[str, Tensor]) -> None:
        """What these masks prune, by name, is never kept and does not compete."""
        if masks:
            held = {name: _fitting(name, w, masks) for name, w in self.weights.items()}
            old = self.held or held
            self.held = {name: mask & old[name] for name, mask in held.items()}

    @property
    def effective(self) -> dict[str, nn.Parameter]:
        """What the model computes with: its own parameters, by name."""
        return {name: layer.parameter for name, layer in self.layers.items()}

    @property
    def rows(self) -> dict[str, Rows]:
        """The output rows of each layer, by name."""
        return {n: rows_of(layer, self.summed.get(n)) for n, layer in self.layers.items()}

    @property
    def total(self) -> int:
        """Number of maskable weights, N."""
        return sum(weight.numel() for weight in self.weights.values())

    @property
    def device(self) -> torch.device:
        """That of the weights; the CPU where there are none."""
        return next((weight.device for weight in self.weights.values()), torch.device("cpu"))

    def fitting(self, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One mask a weight, in order, all True where `masks` has none; SpecError for others."""
        if not isinstance(masks, Mapping):
            raise SpecError(f"masks map parameter names to bool tensors: {type(masks).__name__}")
        masks = renamed(masks, self.weights)
        for name in masks.keys() - self.weights.keys():
            raise SpecError(f"no maskable weight is named {name!r}; give this model's masks")
        return {name: _fitting(name, weight, masks) for name, weight in self.weights.items()}

    def mask(self, masks: dict[str, Tensor] | None, write: bool = True) -> None:
        """Take these masks and write the effective weights into the model, unless told not to.

        Masks that the model has already stay: what they prune is pruned.
        """
        if masks is not None and self.held is not None:
            masks = {name: mask & self.held[name] for name, mask in masks.items()}
        self.masks = masks
        if write:
            self.write()

    @torch.no_grad()
    def write(self) -> None:
        """Write w * m into the model's own parameters."""
        for name in self.layers:
            self._write(name)
        for weight in self.computed if self.masks is not None else ():
            _check(self.model, weight)
        for name, axis in self.survey.normed.items() if self.survey and self.masks else ():
            check_norms(self.layers[name], axis)
        for weight in self.computed:
            weight.refresh()

    def _write(self, name: str) -> None:
        weight, parameter = self.weights[name], self.layers[name].parameter.data
        if self.masks is None:
            parameter.copy_(weight)
        else:
            write_masked(weight, self.masks[name], out=parameter)

    @torch.no_grad()
    def change(self, name: str, where: Tensor | None, values: Tensor) -> None:
        """Change weights (all, or those at `where`, see `put`), write them and empty `memo`."""
        weight = self.weights[name]
        if where is None:
            weight.copy_(values)
        else:
            put(weight, where, values)
        self.memo.clear()
        self._write(name)


def check_norms(layer: Layer, axis: int | None) -> None:
    """SpecError where a parameter is divided by the norm of a slice that is all pruned."""
    used = layer.parameter != 0
    slices = used.reshape(1, -1) if axis is None else used.movedim(axis, 0).flatten(1)
    if not bool(slices.any(1).all()):
        raise SpecError(
            f"{layer.name} is divided by norms of its own, and one would be of weights all "
            "pruned, so NaN; keep more of it, or leave it out by prune.exclude"
        )


def _check(model: nn.Module, weight: Computed) -> None:
    """SpecError where a weight that is computed from pruned ones is no number."""
    if not bool(weight.make().isfinite().all()):
        raise SpecError(
            f"{weight.path(model)} would be NaN: it is divided by a norm of weights that "
            f"are all pruned; keep more, or {weight.removal(model)} leaves plain weights"
        )


def summed_in(uses: Mapping[str, Use]) -> dict[str, frozenset[int]]:
    """The dimensions of each parameter that are summed with data, where all its uses agree."""
    return {name: min(use.summed) for name, use in uses.items() if len(use.summed) == 1}


def _fitting(name: str, weight: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
    """The mask of `name` on its weight's device, all True where none is given."""
    mask = masks.get(name)
    if mask is None:
        return torch.ones_like(weight, dtype=torch.bool)
    if mask.shape != weight.shape:
        have, want = tuple(mask.shape), tuple(weight.shape)
        raise SpecError(
            f"the mask of {name} has shape {have}, the weight {want}; give its own mask"
        )
    if mask.dtype != torch.bool:
        raise SpecError(f"the mask of {name} must be bool: {mask.dtype}; use `scores > t`")
    return mask.to(weight.device)


def put(tensor: Tensor, where: Tensor, values: Tensor | int) -> int:
    """Write `values` in place at `where` and return how many there are.

    where: bool of the tensor's shape, with values of that shape; or int64 flat indices, with one
    value each. One int is written everywhere.
    """
    if where.dtype == torch.bool:
        tensor[where] = values if isinstance(values, int) else values.to(tensor)[where]
        return int(torch.count_nonzero(where))
    flat = tensor.view(-1) if tensor.is_contiguous() else tensor.reshape(-1)
    if isinstance(values, int):
        flat.index_fill_(0, where, values)
    else:
        flat.index_copy_(0, where, values.to(tensor))
    if not tensor.is_contiguous():  # e.g. channels_last: flat is a copy
        tensor.copy_(flat.view(tensor.shape))
    return where.numel()
