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
networks carry so little of R that all of them go, 100 rounds or not. Activations, norms, gates and
attention that the paper did not have are measured by the same paths: `prunekit.PositivePaths`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import attrs
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

import prunekit
from prunekit import AbsoluteNetwork, Batch, Network, NumericalError, Scores, SpecError, at_least

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@attrs.frozen
class SynFlow:
    """Score a weight by the sum of all absolute paths from input to output that use it."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the files of 0.1.0 and 0.2.0, and without parts
        "062e4ee7e0c613d367687673ec27d289e43c3455b7a4b6176bead878c142f1cf",
        "477de9f9a46b927a9f0db07e8f15ab51ca790940556d2c53c50afbced57310fa",
        "66f21314aedd5f116c4b4f2d8d28d9b66286feb3df365b2a55e22ba9478590bc",
        "39ed0f07a9cb68fff31d8a1942b9977d39ab9380e26946a481b778946d290be1",
    )
    adds_up: ClassVar[bool] = True
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
        x = self._given(network, batches) if batches else [self._drawn(network, rng)]
        key = f"synflow {self.dtype}"
        net = network.memo.get(key) or prunekit.AbsoluteNetwork.of(network, DTYPES[self.dtype])
        with prunekit.scoring_mode(network.model, "eval"):
            S = flow(net, x, network.masks)
            if key not in network.memo:  # the operations do not change from round to round
                bounds = bounds_of(S)
                if any(low < 0 for low, _ in bounds.values()):
                    net.unsigned = True
                    S = flow(net, x, network.masks)
                    bounds = bounds_of(S)
                check_flow(S, bounds)
        network.memo[key] = net
        return S

    def _given(self, network: Network, batches: Sequence[Batch]) -> list[Any]:
        """The batch by absolute value, in as many parts as it must be scored in."""
        if self.input == "chi":
            raise SpecError("input = chi cannot act: a batch is given and replaces the input")
        x = batches[0][0]
        if isinstance(x, Tensor) and network.input_shape == tuple(x.shape):
            x = x[None]
        parts = prunekit.split_batches([(x, batches[0][1])], network.parts, network.model)
        return [absolute(part, network.device, DTYPES[self.dtype]) for part, _ in parts]

    def _drawn(self, network: Network, rng: torch.Generator) -> Tensor:
        if network.input_shape is None:
            raise SpecError("synflow must know the input: give input_shape, or a batch")
        dtype, shape = DTYPES[self.dtype], (1, *network.input_shape)
        if self.input == "ones":
            return torch.ones(shape, dtype=dtype, device=network.device)
        normals = torch.randn((self.chi_n, *shape), generator=rng, dtype=dtype)
        return normals.square_().sum(0).sqrt_().to(network.device)


def absolute(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Every tensor of `value` on `device`, what is real in it by absolute value and in `dtype`."""
    if isinstance(value, Tensor):
        value = value.to(device)
        return value.to(dtype).abs() if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {name: absolute(part, device, dtype) for name, part in value.items()}
    if isinstance(value, PackedSequence):
        return value._replace(data=absolute(value.data, device, dtype))
    if isinstance(value, tuple | list):
        parts = [absolute(part, device, dtype) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def flow(net: AbsoluteNetwork, xs: Sequence[Any], masks: Mapping[str, Tensor] | None) -> Scores:
    """S of every weight, by name: of the paths of all examples, given in parts."""
    S: Scores = {}
    for x in xs:
        R = net(x, masks).sum()  # 1^T prod_l |W_l| 1
        part = net.products(R, saliency)
        S = {name: S[name].add_(s) for name, s in part.items()} if S else part
    return S


def saliency(w: Tensor, gradient: Tensor) -> None:
    """S = |w| * dR/d|w|, written over |w|; both of one shape."""
    w.mul_(gradient)


def bounds_of(scores: Scores) -> dict[str, tuple[float, float]]:
    """The smallest and the largest score of each layer; 0 and 0 of an empty one."""
    found = {name: torch.aminmax(s) for name, s in scores.items() if s.numel()}
    bounds = {name: (float(low), float(high)) for name, (low, high) in found.items()}
    return {name: bounds.get(name, (0.0, 0.0)) for name in scores}


def check_flow(scores: Scores, bounds: Mapping[str, tuple[float, float]]) -> None:
    """NumericalError naming the first layer with a negative or non-finite score."""
    for name, s in scores.items():
        low, high = bounds[name]
        if not math.isfinite(low + high):
            wider = "set scorer.dtype = float64, or " if s.dtype == torch.float32 else ""
            raise NumericalError(
                f"{name}: the paths overflow {s.dtype}; {wider}choose another scorer"
            )
        if low < 0:
            raise NumericalError(
                f"{name}: a SynFlow score is negative ({low:.3g}); the model subtracts, or uses an "
                "operation that has no positive form; choose another scorer"
            )


@prunekit.hookimpl
def prunekit_scorers() -> dict[str, type[SynFlow]]:
    return {"synflow": SynFlow}
