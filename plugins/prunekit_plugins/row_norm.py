"""Row norms: the sketching probabilities that disturb a layer's output least.

Bar & Giryes, "Pruning at Initialization - A Sketching Perspective", 2023,
https://arxiv.org/abs/2305.17559, equation 2: for a linear layer X^T w,

    p_i = ||X_(i)|| * |w_i| / sum_k ||X_(k)|| * |w_k|

X_(i) holds what weight i is multiplied with, over all examples and positions. Layer by layer:
each layer's own inputs, in the masked net, and scores that sum to 1 within the layer (they have
no unit and say nothing about two layers; hence the suggested allocation, `layer`).
A convolution's X_(i) is one channel at one kernel offset, over examples and output positions; an
embedding's is how often its token occurs; an attention projection's, the tokens it is applied to;
a recurrent layer's, its inputs and states over time; an expert's, the tokens it is sent.
Positions that a batch's `attention_mask` (batch, length) leaves out do not count.
Differs from the paper: more than linear layers is covered; a weight that is used more than once
has the norm over all its uses. Where a layer computes its weight from a parameter (weight norm, a
cast), w_i is the parameter's entry and X_(i) what the computed one is multiplied with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs
import torch
from torch import Tensor

import prunekit
from prunekit import Batch, Mode, Network, Scores, SpecError


@attrs.frozen
class RowNorm:
    """Score a weight by its size times the norm of what it is multiplied with."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file of 0.2.0, and one with another message
        "d9443b9bf7395a3e9824bedc18e7ca30983d089d1f0f5804f7bda1fb2cc9ecba",
        "15f91b070aa8a14e37c85ab0ab84bfe0ee1d41c3d7c3338334438ef451e2cf8e",
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

    0 where no pass reaches the layer. Raises SpecError naming one that no known operation uses.
    """
    with prunekit.scoring_mode(network.model, mode):
        recorder = prunekit.EnergyRecorder(network)
        for inputs, _ in batches:
            with recorder.batch(inputs):
                network.objective.outputs(network.model, inputs)
    unused = network.survey.unreached if network.survey else []
    for name, weight in network.weights.items():
        if name not in (*recorder.energies, *unused) and weight.numel():
            raise SpecError(
                f"row-norm cannot see the inputs of {name}; it knows products of matrices, "
                "convolutions, embeddings, recurrent layers and attention, not inside vmap: leave "
                "this one out with prune.exclude"
            )
    none = torch.zeros(())
    return {n: recorder.energies.get(n, none.to(w)) for n, w in network.weights.items()}


@prunekit.hookimpl
def prunekit_scorers() -> Mapping[str, type]:
    return {"row-norm": RowNorm}
