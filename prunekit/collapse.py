"""Layer collapse: layers without weights, and kept weights on no path from input to output."""

from __future__ import annotations

import torch

from prunekit.network import Network
from prunekit.scoring import scoring_mode, sum_gradients

EXAMPLES = 64


def dead_kept(network: Network, rng: torch.Generator) -> dict[str, int]:
    """Kept weights that nothing flows through, by name: {} where the input shape is unknown.

    Measured, not derived: weights whose gradient is exactly 0 for a random projection of the
    logits on 64 normal inputs in eval mode. A unit whose ReLU never opens counts as dead too.
    """
    if network.input_shape is None or network.masks is None:
        return {}
    device = network.device
    x = torch.randn(EXAMPLES, *network.input_shape, generator=rng).to(device)
    with scoring_mode(network.model, "eval"):
        logits = network.model(x)
        v = torch.randn(logits.shape, generator=rng).to(device)
        gradients = sum_gradients([(logits * v).sum()], network.effective)
    return {name: int((m & (gradients[name] == 0)).sum()) for name, m in network.masks.items()}
