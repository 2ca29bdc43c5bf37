"""Layer collapse: layers without weights, and kept weights on no path from input to output."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prunekit.network.losses import logits_of
from prunekit.network.model import Network
from prunekit.network.modes import holding
from prunekit.pruning.scoring import scoring_mode, sum_gradients

EXAMPLES = 64
NUMBERS = 1 << 20
"""Of the inputs at most so many are passed at once: six images of 3 x 224 x 224."""


def dead_kept(
    network: Network, rng: torch.Generator, tokens: Tensor | None = None
) -> dict[str, int]:
    """Kept weights that nothing flows through, by name: {} where the input shape is unknown.

    Measured, not derived: weights whose gradient is exactly 0 for a random projection of the
    logits on 64 normal inputs, or on the first 64 examples of `tokens`, in eval mode. A unit
    whose ReLU never opens counts as dead too. The rows of an embedding are looked up, most of
    them by no example: they are left out.
    """
    if network.input_shape is None or network.masks is None:
        return {}
    x = torch.randn(EXAMPLES, *network.input_shape, generator=rng) if tokens is None else tokens
    with holding(network.written), scoring_mode(network.model, "eval"):
        parts = x[:EXAMPLES].split(max(1, NUMBERS // max(1, x[:1].numel())))
        outputs = (
            logits_of(network.objective.outputs(network.model, part.to(network.device)))
            for part in parts
        )
        losses = (
            (logits * torch.randn(logits.shape, generator=rng).to(logits.device)).sum()
            for logits in outputs
        )
        gradients = sum_gradients(losses, network.effective)
    return {
        name: int((network.masks[name] & (gradients[name] == 0)).sum())
        for name in measured(network)
    }


def measured(network: Network) -> list[str]:
    """The names of which `dead_kept` counts the dead: all maskable ones but embeddings."""
    layers = network.layers.items()
    return [name for name, layer in layers if not isinstance(layer.module, nn.Embedding)]
