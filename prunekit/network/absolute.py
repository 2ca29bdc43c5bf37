"""A network by absolute value, and what its output owes to each weight.

Everything that the model computes with becomes its absolute value, every operation its positive
form (`PositivePaths`): what comes out is the sum over all paths from input to output.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.network.lending import LentMemory
from prunekit.network.losses import described, first_line, logits_of
from prunekit.network.masking import in_blocks, write_masked, zero_pruned
from prunekit.network.model import Network
from prunekit.network.names import parameters_of
from prunekit.network.objective import Objective
from prunekit.network.paths import PositivePaths
from prunekit.network.precision import InPrecision

Slot = tuple[dict[str, Tensor | None], str, str]
"""Where a module holds a tensor: its parameters or buffers, the key there, the tensor's name."""


def slots_of(model: nn.Module, names: Mapping[int, str]) -> list[Slot]:
    """Where the modules of `model`, each taken once, hold the tensors of these ids."""
    held: list[dict[str, Any]] = [
        own for module in model.modules() for own in (module._parameters, module._buffers)
    ]
    return [
        (own, key, names[id(tensor)])
        for own in held
        for key, tensor in own.items()
        if id(tensor) in names
    ]


@contextlib.contextmanager
def standing_in(slots: Sequence[Slot], tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, the modules hold `tensors`, by name; afterwards what they held.

    `torch.func.functional_call` does not give back what a module under two names held.
    """
    before = [own[key] for own, key, _ in slots]
    try:
        for own, key, name in slots:
            own[key] = tensors[name]
        yield
    finally:
        for (own, key, _), tensor in zip(slots, before):
            own[key] = tensor


Product = Callable[[Tensor, Tensor], object]
"""(|w|, gradient), of one shape: writes an elementwise function of the two over |w|."""


@attrs.define(eq=False)
class AbsoluteNetwork:
    """`network` by absolute value; keep it in `network.memo`: from round to round the mask changes.

    Called with an input x >= 0 (batch, ...) and masks it gives the sum of all paths to each output
    (batch, classes); `products(total, product)` of a scalar `total` made of these turns |w| and
    d total / d(|w| m) of each weight into a score.
    weights: w before masking, by name. state: what the model computes with, by name; the maskable
    ones are |w| m and have gradients. slots: where the modules hold what `state` is of. masks:
    those written to `state` last. casts: whether the model asks for other precisions than `dtype`,
    so that all it computes must be cast. unsigned: see `PositivePaths`; set it where a path counts
    negatively.
    """

    model: nn.Module
    objective: Objective
    weights: Mapping[str, Tensor]
    dtype: torch.dtype
    state: dict[str, Tensor]
    slots: Sequence[Slot]
    masks: dict[str, Tensor] = attrs.field(factory=dict)
    casts: bool = False
    unsigned: bool = False
    memory: LentMemory | None = None

    @classmethod
    def of(cls, network: Network, dtype: torch.dtype) -> AbsoluteNetwork:
        """Its parameters and buffers are copies in `dtype`; integers are shared."""
        model, weights = network.model, network.weights
        everything = {**parameters_of(model), **dict(model.named_buffers())}
        state = {
            name: tensor.detach().to(dtype).abs() if tensor.is_floating_point() else tensor.detach()
            for name, tensor in everything.items()
            if name not in weights
        }
        leaves = {
            name: torch.empty_like(w, dtype=dtype, requires_grad=True)
            for name, w in weights.items()
        }
        slots = slots_of(model, {id(tensor): name for name, tensor in everything.items()})
        return cls(model, network.objective, weights, dtype, {**state, **leaves}, slots)

    def __call__(self, x: Any, masks: Mapping[str, Tensor] | None) -> Tensor:
        """The model's output (batch, classes) at inputs x; the real ones >= 0 and in `dtype`.

        Call it inside `scoring_mode`. Raises SpecError for a model that returns no tensor, and
        with the model's own reason for one that cannot be computed so.
        """
        self._mask(masks)
        y = None if self.casts else self._plain(x)
        if y is None:
            self.casts = True
            y = self._cast(x)
        return y

    def _plain(self, x: Any) -> Tensor | None:
        """The output without casts; None where the model fails so, or overflows."""
        try:
            y = self._forward(x)
        except SpecError as error:
            if error.__cause__ is None:  # of ours; else the model's
                raise
            return None
        return y if math.isfinite(float(y.detach().sum())) else None

    def _cast(self, x: Any) -> Tensor:
        try:
            return self._forward(x)
        except SpecError as error:
            if error.__cause__ is None:
                raise
            dtype = str(self.dtype).removeprefix("torch.")
            other = "set scorer.dtype = float32, " if self.dtype == torch.float64 else ""
            raise SpecError(
                f"the paths of this model cannot be computed in {dtype} for inputs {described(x)} "
                f"({first_line(error.__cause__)}); give inputs that it takes (input_shape, or a "
                f"batch), {other}or choose another scorer"
            ) from error.__cause__

    def _forward(self, x: Any) -> Tensor:
        with contextlib.ExitStack() as modes:
            for kind in {tensor.device.type for tensor in self.state.values()}:
                modes.enter_context(torch.autocast(kind, enabled=False))
            if self.casts:
                modes.enter_context(InPrecision(self.dtype))
            modes.enter_context(PositivePaths(self.unsigned))
            modes.enter_context(standing_in(self.slots, self.state))
            y = self.objective.outputs(self.model, x)
        try:
            return logits_of(y)
        except SpecError:
            kind = type(y).__name__
            raise SpecError(
                f"the model must return logits (batch, classes): {kind}; give forward=, a callable "
                "on model and inputs that returns them, or wrap the model"
            ) from None

    def products(self, total: Tensor, product: Product) -> dict[str, Tensor]:
        """`product` of |w| and d total / d(|w| m) by name; 0 where `total` (scalar) ignores w.

        Each is taken, in blocks on the CPU, as soon as its gradient is there, which is then
        dropped: the next gradient has its memory. On the CPU what is returned lies where that of
        the last call lay, if nobody holds that any more.
        """
        products = self._blank()
        unused = set(products)

        def arrive(leaf: Tensor, name: str) -> None:
            assert leaf.grad is not None
            for w, gradient, out in in_blocks(self.weights[name], leaf.grad, products[name]):
                product(out.copy_(w).abs_(), gradient)
            leaf.grad = None
            unused.discard(name)

        hooks = [
            self.state[name].register_post_accumulate_grad_hook(partial(arrive, name=name))
            for name in products
        ]
        try:
            if total.requires_grad:
                total.backward()
        finally:
            for hook in hooks:
                hook.remove()
        for name in unused:
            products[name].zero_()
        return products

    @torch.no_grad()
    def _mask(self, masks: Mapping[str, Tensor] | None) -> None:
        for name, weight in self.weights.items():
            values, before = self.state[name].detach(), self.masks.pop(name, None)
            if masks is None or before is None or not zero_pruned(values, before, masks[name]):
                values.copy_(weight).abs_()
                if masks is None:
                    continue
                write_masked(values, masks[name], out=values)
                before = masks[name].clone()
            self.masks[name] = before

    def _blank(self) -> dict[str, Tensor]:
        values = {name: self.state[name].detach() for name in self.weights}
        if any(value.device.type != "cpu" for value in values.values()):
            return {name: torch.empty_like(value) for name, value in values.items()}
        if self.memory is None or self.memory.is_held():
            self.memory = LentMemory(values)
        return self.memory.lend()
