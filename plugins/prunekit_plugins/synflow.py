"""SynFlow: prune before training, without data, by how much flows through a weight.

Tanaka, Kunin, Yamins & Ganguli, NeurIPS 2020, https://arxiv.org/abs/2006.05467, section 5:

    R = 1^T prod_l |W_l| 1          S(w) = dR/dw * w = |w| * dR/d|w|

R sums, over all paths from input to output, the product of the absolute weights on the path; in
float64 because R reaches 1e27 in VGG-19 and 1e71 in ResNet-50. S is >= 0 and has no unit. In a
chain without biases every layer's scores sum to R, which is why 100 rounds collapse no layer.
Chi input: Bar & Giryes, "Pruning at Initialization - A Sketching Perspective", 2023,
https://arxiv.org/abs/2305.17559: entries are l2 norms of `chi_n` normals, drawn anew each round.

Differs from the paper: as in its code, biases and batch norm (running statistics, eval mode)
take part, all by absolute value. A batch that is given replaces the input of ones by its own
absolute value. A pruned weight has a score too, |w| * dR/d(|w| m). A run keeps one weight in every
layer (`prune.min_per_layer = 1` is suggested): as published, the 1x1 shortcuts of wide residual
networks carry so little of R that all of them go, 100 rounds or not.

Networks that the paper did not have are measured by the same absolute paths:

* GELU, SiLU, ReLU6, Hardswish, Hardtanh, ELU, LeakyReLU, Mish, tanh and their kin become ReLU.
* LayerNorm, GroupNorm, RMSNorm become |g| x + |b|: no centring, no scaling. LayerScale is a
  parameter like any other. A denominator counts as a constant.
* A gate, sigmoid(z), becomes z / stop(z): it is open (1) where anything reaches it, 0 elsewhere.
* softmax(z) becomes relu(z) / stop(sum relu(z)), 0 where the sum is 0. Attention is then linear in
  v, in q and in k, and its output stays of degree one in the input. Additive masks of -inf and
  boolean masks remove their entries. stop() is constant for the gradient.
* What directs the flow (gates, q and k) is credited with an eighth of it, so that its weights have
  scores. Full credit would triple, at each attention block, the flow of all layers before it, and
  SynFlow would prune the last blocks away.
* Dropout is off.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import attrs
import torch
from torch import Tensor

import prunekit
from prunekit import Batch, Network, NumericalError, Scores, SpecError, at_least

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@attrs.frozen
class SynFlow:
    """Score a weight by the sum of all absolute paths from input to output that use it."""

    reads: ClassVar[str] = "one batch"
    own_copy: ClassVar[bool] = True
    suggests: ClassVar[Mapping[str, object]] = {"rounds.count": 100, "prune.min_per_layer": 1}

    input: Literal["ones", "chi"] = prunekit.option("ones", help="what the network is fed")
    chi_n: int = prunekit.option(128, help="normals per chi entry", validator=at_least(1))
    dtype: Literal["float64", "float32"] = prunekit.option(
        "float64", help="precision; float32 overflows on deep networks"
    )

    def __attrs_post_init__(self) -> None:
        if self.input == "ones" and self.chi_n != 128:
            raise SpecError(f"chi_n = {self.chi_n} cannot act on input = ones; set input = chi")

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        """|w| dR/d(|w| m) per maskable weight, float64 or float32, >= 0.

        Raises SpecError for a model that takes tokens and is given none, and NumericalError naming
        the layer whose scores are negative or not finite.
        """
        if self.dtype == "float64" and network.device.type == "mps":
            raise SpecError("mps has no float64; set scorer.dtype = float32, or score on the cpu")
        key = f"synflow {self.dtype}"
        if key not in network.memo:
            network.memo[key] = AbsoluteNet.of(network, DTYPES[self.dtype])
        x = self._given(network, batches) if batches else self._drawn(network, rng)
        return network.memo[key].flow(network, x)

    def _given(self, network: Network, batches: Sequence[Batch]) -> Tensor:
        if self.input == "chi":
            raise SpecError("input = chi cannot act: a batch is given and replaces the input")
        x = batches[0][0].to(network.device)
        x = x[None] if network.input_shape == tuple(x.shape) else x
        return x.to(DTYPES[self.dtype]).abs() if x.is_floating_point() else x

    def _drawn(self, network: Network, rng: torch.Generator) -> Tensor:
        if network.input_shape is None:
            raise SpecError("synflow must know the input: give input_shape, or a batch")
        dtype, shape = DTYPES[self.dtype], (1, *network.input_shape)
        if self.input == "ones":
            return torch.ones(shape, dtype=dtype, device=network.device)
        normals = torch.randn((self.chi_n, *shape), generator=rng, dtype=dtype)
        return normals.square_().sum(0).sqrt_().to(network.device)


@attrs.define(eq=False)
class AbsoluteNet:
    """The network by absolute value; kept from round to round, only the mask changes.

    state: what the model computes with, by name; the maskable ones are |w| m and have gradients.
    magnitude: |w| before masking. masks: those of the last call. lent: memory of earlier scores.
    """

    state: dict[str, Tensor]
    magnitude: dict[str, Tensor]
    masks: dict[str, Tensor] = attrs.field(factory=dict)
    lent: list[LentScores] = attrs.field(factory=list)
    checked: bool = False

    @classmethod
    def of(cls, network: Network, dtype: torch.dtype) -> AbsoluteNet:
        everything = {
            **dict(network.model.named_parameters()),
            **dict(network.model.named_buffers()),
        }
        state = {
            name: tensor.detach().to(dtype).abs() if tensor.is_floating_point() else tensor.detach()
            for name, tensor in everything.items()
            if name not in network.weights
        }
        magnitude = {name: w.to(dtype, copy=True).abs_() for name, w in network.weights.items()}
        leaves = {name: torch.empty_like(w, requires_grad=True) for name, w in magnitude.items()}
        return cls({**state, **leaves}, magnitude)

    def flow(self, network: Network, x: Tensor) -> Scores:
        """Each maskable weight's share of R at the input x (batch, ...)."""
        self._mask(network.masks)
        scores = self._blank()
        with prunekit.scoring_mode(network.model, "eval"):
            used = self._backward(total(network, self.state, x), scores)
        for name in scores.keys() - used:  # no path leads through it
            scores[name].zero_()
        if not self.checked:  # the operations do not change from round to round
            check_flow(scores)
        self.checked = True
        return scores

    def _backward(self, paths: Tensor, scores: Scores) -> set[str]:
        """Fill `scores` with |w| dR/d(|w| m); returns the names that R depends on."""
        used = set()

        def arrive(leaf: Tensor, name: str) -> None:
            assert leaf.grad is not None
            torch.mul(leaf.grad, self.magnitude[name], out=scores[name])
            leaf.grad = None  # at once: the next layer's gradient reuses the memory
            used.add(name)

        hooks = [
            self.state[name].register_post_accumulate_grad_hook(partial(arrive, name=name))
            for name in scores
        ]
        try:
            if paths.requires_grad:
                paths.backward()
        finally:
            for hook in hooks:
                hook.remove()
        return used

    @torch.no_grad()
    def _mask(self, masks: Mapping[str, Tensor] | None) -> None:
        for name, magnitude in self.magnitude.items():
            leaf, before = self.state[name].detach(), self.masks.pop(name, None)
            if masks is None:
                leaf.copy_(magnitude)
                continue
            if before is None or not zero_pruned(leaf, before, masks[name]):
                torch.mul(magnitude, masks[name], out=leaf)
                before = masks[name].clone()
            self.masks[name] = before

    def _blank(self) -> Scores:
        """Uninitialised tensors for the scores: memory that nobody holds any more, or new."""
        if any(magnitude.device.type != "cpu" for magnitude in self.magnitude.values()):
            return {name: torch.empty_like(m) for name, m in self.magnitude.items()}
        for memory in self.lent:
            if not memory.is_held():
                return memory.lend()
        self.lent.append(LentScores(self.magnitude))
        return self.lent[-1].lend()


def zero_pruned(leaf: Tensor, before: Tensor, now: Tensor) -> bool:
    """Zero in `leaf` what `now` prunes and `before` did not, and bring `before` up to date.

    False, with nothing done, where more than a few weights were pruned or any came back.
    """
    if leaf.device.type != "cpu" or not (leaf.is_contiguous() and now.is_contiguous()):
        return False
    flat = now.numpy().ravel()
    changed = (flat ^ before.numpy().ravel()).nonzero()[0]
    if len(changed) > len(flat) // 8 or flat[changed].any():
        return False
    for values in (leaf, before):
        values.numpy().ravel()[changed] = 0
    return True


class LentScores:
    """Memory for one set of scores on the CPU, lent again when no tensor shares it any more.

    Fresh memory for 20 million scores costs half of what computing them does: its pages must be
    mapped. A tensor's storage holds the array it was made from, so the array tells who is left.
    """

    def __init__(self, like: Mapping[str, Tensor]) -> None:
        self._memory = {
            name: torch.empty(t.shape, dtype=t.dtype).numpy() for name, t in like.items()
        }
        self._borrowed: list[weakref.ref[Any]] = []

    def is_held(self) -> bool:
        return any(borrowed() is not None for borrowed in self._borrowed)

    def lend(self) -> Scores:
        arrays = {name: memory.view() for name, memory in self._memory.items()}
        self._borrowed = [weakref.ref(array) for array in arrays.values()]
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def total(network: Network, state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """R: the sum of the model's outputs at x, computed with the tensors `state` for its own."""
    with torch.autocast(network.device.type, enabled=False), prunekit.PositivePaths():
        y = torch.func.functional_call(network.model, dict(state), (x,))
    if not isinstance(y, Tensor):
        raise SpecError(f"the model must return logits (batch, classes): {type(y).__name__}")
    return y.sum()


def check_flow(scores: Scores) -> None:
    """NumericalError naming the first layer with a negative or non-finite score."""
    filled = {name: s for name, s in scores.items() if s.numel()}
    bounds = torch.stack([torch.stack(torch.aminmax(s)) for s in filled.values()]).cpu()
    for (name, s), (low, high) in zip(filled.items(), bounds.tolist()):
        if not math.isfinite(low + high):
            cure = "set scorer.dtype = float64" if s.dtype == torch.float32 else "scale them down"
            raise NumericalError(f"{name}: the paths overflow {s.dtype}; {cure}")
        if low < 0:
            raise NumericalError(
                f"{name}: a SynFlow score is negative ({low:.3g}); the model subtracts, or uses an "
                "operation that has no positive form; choose another scorer"
            )


@prunekit.hookimpl
def prunekit_scorers() -> dict[str, type[SynFlow]]:
    return {"synflow": SynFlow}
