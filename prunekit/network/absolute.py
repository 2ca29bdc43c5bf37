"""A network by absolute value, and what its output owes to each weight.

Everything that the model computes with becomes its absolute value, every operation its positive
form (`PositivePaths`): what comes out is the sum over all paths from input to output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import attrs
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.network.lending import LentMemory
from prunekit.network.masking import write_masked, zero_pruned
from prunekit.network.model import Network
from prunekit.network.pathforms import PositivePaths

Product = Callable[[Tensor, Tensor, Tensor], object]
"""(|w|, gradient, out), all of the weight's shape: writes to `out`."""


@attrs.define(eq=False)
class AbsoluteNetwork:
    """`network` by absolute value; keep it in `network.memo`, for only the mask changes by rounds.

    magnitude: |w| before masking, by name. state: what the model computes with, by name; the
    maskable ones are |w| m and have gradients. masks: those written to `state` last.
    """

    model: nn.Module
    magnitude: dict[str, Tensor]
    state: dict[str, Tensor]
    masks: dict[str, Tensor] = attrs.field(factory=dict)
    memory: LentMemory | None = None

    @classmethod
    def of(cls, network: Network, dtype: torch.dtype) -> AbsoluteNetwork:
        """A copy of the network's weights, parameters and buffers in `dtype`."""
        model, weights = network.model, network.weights
        everything = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        state = {
            name: tensor.detach().to(dtype).abs() if tensor.is_floating_point() else tensor.detach()
            for name, tensor in everything.items()
            if name not in weights
        }
        magnitude = {name: w.to(dtype, copy=True).abs_() for name, w in weights.items()}
        leaves = {name: torch.empty_like(w, requires_grad=True) for name, w in magnitude.items()}
        return cls(model, magnitude, {**state, **leaves})

    def __call__(self, x: Tensor, masks: Mapping[str, Tensor] | None) -> Tensor:
        """The model's output (batch, classes) at x (batch, ...) >= 0, in this dtype.

        Call it inside `scoring_mode`. Raises SpecError for a model that returns no tensor.
        """
        self._mask(masks)
        with torch.autocast(x.device.type, enabled=False), PositivePaths():
            y = torch.func.functional_call(self.model, dict(self.state), (x,))
        if not isinstance(y, Tensor):
            raise SpecError(f"the model must return logits (batch, classes): {type(y).__name__}")
        return y

    def products(self, total: Tensor, product: Product) -> dict[str, Tensor]:
        """`product` of |w| and d total / d(|w| m) by name; 0 where `total` (scalar) ignores w.

        Each is taken as soon as its gradient is there, which is then dropped: the next gradient
        has its memory. What is returned lies, on the CPU, where that of the last call lay if
        nobody holds that any more.
        """
        products = self._blank()
        unused = set(products)

        def arrive(leaf: Tensor, name: str) -> None:
            assert leaf.grad is not None
            product(self.magnitude[name], leaf.grad, products[name])
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
        for name, magnitude in self.magnitude.items():
            leaf, before = self.state[name].detach(), self.masks.pop(name, None)
            if masks is None:
                leaf.copy_(magnitude)
                continue
            if before is None or not zero_pruned(leaf, before, masks[name]):
                write_masked(magnitude, masks[name], out=leaf)
                before = masks[name].clone()
            self.masks[name] = before

    def _blank(self) -> dict[str, Tensor]:
        if any(magnitude.device.type != "cpu" for magnitude in self.magnitude.values()):
            return {name: torch.empty_like(m) for name, m in self.magnitude.items()}
        if self.memory is None or self.memory.is_held():
            self.memory = LentMemory(self.magnitude)
        return self.memory.lend()
