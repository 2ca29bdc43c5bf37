"""Row norms: the sketching probabilities that disturb a layer's output least.

Bar & Giryes, "Pruning at Initialization - A Sketching Perspective", 2023,
https://arxiv.org/abs/2305.17559, equation 2: for a linear layer X^T w,

    p_i = ||X_(i)|| * |w_i| / sum_k ||X_(k)|| * |w_k|

X_(i) holds what weight i is multiplied with, over all examples and positions. Layer by layer:
each layer's own inputs, in the masked net, and scores that sum to 1 within the layer (they have
no unit and say nothing about two layers; hence the suggested allocation, `layer`).
A convolution's X_(i) is one channel at one kernel offset, over examples and output positions; an
embedding's is how often its token occurs; an attention projection's, the tokens it is applied to.
Differs from the paper: convolutions, embeddings and attention are covered, which it leaves open;
a weight that is used more than once has the norm over all its uses. Recurrent layers are refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

import prunekit
from prunekit import Batch, Mode, Network, Scores, SpecError

Energies = Iterator[tuple[Tensor, Tensor]]
"""(weight, squared norms ||X_(i)||^2 that broadcast to its shape), for each weight a call uses."""


@attrs.frozen
class RowNorm:
    """Score a weight by its size times the norm of what it is multiplied with."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file of 0.1.0
        "d9443b9bf7395a3e9824bedc18e7ca30983d089d1f0f5804f7bda1fb2cc9ecba",
    )
    suggests: ClassVar[Mapping[str, object]] = {
        "rounds.count": 1,
        "sampler": "sketch",
        "prune.allocation": "layer",
    }

    batch_norm: Mode = prunekit.option(
        "eval", help="batch-norm mode while the inputs are taken; it decides the mask"
    )
    batches: int = prunekit.option(
        1, help="mini-batches the norms are taken over", validator=prunekit.at_least(1)
    )

    def score(self, network: Network, batches: Sequence[Batch], rng: torch.Generator) -> Scores:
        """Return p, which sums to 1 in each layer; labels are not read."""
        if not batches:
            raise SpecError("row-norm needs data; give at least one batch")
        energies = input_energies(network, batches, self.batch_norm)
        return {
            name: probabilities(energies[name], weight) for name, weight in network.weights.items()
        }


def probabilities(energy: Tensor, weight: Tensor) -> Tensor:
    """sqrt(energy) * |weight| over its sum; all 0 where that sum is 0."""
    product = energy.sqrt() * weight.abs()
    total = product.sum()
    return product / torch.where(total > 0, total, torch.ones_like(total))


def input_energies(network: Network, batches: Sequence[Batch], mode: Mode) -> Scores:
    """||X_(i)||^2 summed over `batches`, by parameter name, broadcastable to its shape.

    Raises SpecError naming a layer that no known operation uses.
    """
    recorder = EnergyRecorder({id(p): name for name, p in network.effective.items()})
    with prunekit.scoring_mode(network.model, mode), recorder:
        for x, _ in batches:
            network.objective.outputs(network.model, x)
    for name in network.effective:
        if name not in recorder.energies:
            raise SpecError(
                f"row-norm cannot see the inputs of {name}; it knows linear, convolution, "
                "embedding and attention layers: leave this one out with prune.exclude"
            )
    return recorder.energies


class EnergyRecorder(TorchFunctionMode):
    """While active, adds up the energies of what the weights in `names` (by id) are given."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.names = names
        self.energies: dict[str, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in READERS:
            with torch.no_grad():
                for weight, energy in READERS[func](*args, **kwargs):
                    self._add(weight, energy)
        return func(*args, **kwargs)

    def _add(self, weight: Tensor, energy: Tensor) -> None:
        name = self.names.get(id(weight))
        if name is not None:
            before = self.energies.get(name)
            self.energies[name] = energy if before is None else before + energy


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Energies:
    """input: (..., in), weight: (out, in)."""
    yield weight, feature_energy(input)


def feature_energy(x: Tensor) -> Tensor:
    """(..., features) -> (features,): the sum of squares over all but the last dimension."""
    return x.reshape(-1, x.shape[-1]).square().sum(dim=0)


def embedding(input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Energies:
    """input: integer tokens of any shape, weight: (tokens, features)."""
    counts = torch.bincount(input.reshape(-1), minlength=len(weight))
    yield weight, counts.to(weight.dtype).unsqueeze(1)


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Energies:
    """input: (batch, channels, *positions), weight: (out, channels / groups, *kernel).

    Squares are summed over the batch first, then over the positions that each kernel offset
    visits: no unfolded copy is made.
    """
    kernel = weight.shape[2:]
    stride, dilation = (_each(value, len(kernel)) for value in (stride, dilation))
    batched = input if input.ndim == weight.ndim else input.unsqueeze(0)
    energy = F.pad(batched.square().sum(dim=0), _margins(padding, kernel, dilation))
    steps = [  # along each dimension: for each kernel offset, the positions it visits
        [slice(u * d, size - (k - 1 - u) * d, s) for u in range(k)]
        for size, k, s, d in zip(energy.shape[1:], kernel, stride, dilation)
    ]
    sums = [energy[(slice(None), *at)].flatten(1).sum(dim=1) for at in itertools.product(*steps)]
    grouped = torch.stack(sums, dim=1).reshape(groups, -1, *kernel)
    yield weight, grouped.repeat_interleave(len(weight) // groups, dim=0)


def _each(value: Any, dimensions: int) -> tuple[int, ...]:
    whole = (value,) if isinstance(value, int) else tuple(value)
    return whole * dimensions if len(whole) == 1 else whole


def _margins(padding: Any, kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Zeros before and after each dimension, the last dimension first, as F.pad takes them."""
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation)]
        pairs = [(total // 2, total - total // 2) for total in totals]
    else:
        sizes = _each(0 if padding == "valid" else padding, len(kernel))
        pairs = [(size, size) for size in sizes]
    return [margin for pair in reversed(pairs) for margin in pair]


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_heads: int,
    in_weight: Tensor | None,
    *between: Any,
    **kwargs: Any,
) -> Energies:
    """nn.MultiheadAttention: q, k, v (..., features), fused (3 * features) or apart, and output.

    The output projection's input is the attention's output with the identity in its place.
    """
    tokens = [feature_energy(x) for x in (query, key, value)]
    if in_weight is not None:
        yield in_weight, torch.stack(tokens).repeat_interleave(embed_dim, dim=0)
    for name, energy in zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), tokens):
        if kwargs.get(name) is not None:
            yield kwargs[name], energy
    *middle, out_weight, _ = between
    again: Callable[..., tuple[Tensor, Tensor | None]] = F.multi_head_attention_forward
    start = (query, key, value, embed_dim, num_heads, in_weight, *middle)
    heads, _ = again(*start, torch.eye(embed_dim).to(query), None, **kwargs)
    yield out_weight, feature_energy(heads)


READERS: Mapping[Any, Callable[..., Energies]] = {
    F.linear: linear,
    F.embedding: embedding,
    F.conv1d: convolution,
    F.conv2d: convolution,
    F.conv3d: convolution,
    F.multi_head_attention_forward: attention,
}


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"row-norm": RowNorm}
