"""SynFlow as one would write it in an afternoon: the yardstick of `bench/run.py`.

Each round: one forward and backward pass with w * m, scores |w * gradient|, concatenated, and
`torch.kthvalue` for the threshold. Nothing is kept between rounds but the masks.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def straightforward_synflow(
    model: nn.Module, input_shape: tuple[int, ...], density: float, rounds: int, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Masks that keep about `density` of all weights with two or more dimensions."""
    model = copy.deepcopy(model).to(dtype).eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.abs_()
    weights = {name: p for name, p in model.named_parameters() if p.ndim > 1}
    masks = {name: torch.ones_like(p) for name, p in weights.items()}
    x = torch.ones(1, *input_shape, dtype=dtype)
    for round in range(1, rounds + 1):
        model.zero_grad()
        with torch.no_grad():
            for name, weight in weights.items():
                weight.mul_(masks[name])
        model(x).sum().backward()
        scores = {name: (w.grad * w).detach().abs() for name, w in weights.items()}
        everything = torch.cat([score.flatten() for score in scores.values()])
        pruned = int((1 - density ** (round / rounds)) * everything.numel())
        if pruned:
            threshold = torch.kthvalue(everything, pruned).values
            masks = {name: (score > threshold).to(dtype) for name, score in scores.items()}
    return masks
