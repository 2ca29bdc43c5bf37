"""SNIP and GraSP in plain torch, then cat and `torch.kthvalue`: the yardsticks of `run.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def straightforward_snip(model: nn.Module, x: Tensor, y: Tensor, density: float) -> list[Tensor]:
    """Masks by |w * dL/dw|, eval mode."""
    weights = weights_of(model.eval())
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), weights)
    return keep_largest([(w * g).abs() for w, g in zip(weights, gradients)], density)


def straightforward_grasp(model: nn.Module, x: Tensor, y: Tensor, density: float) -> list[Tensor]:
    """Masks by w * (H g), eval mode, temperature 200: two passes, as the published code."""
    weights = weights_of(model.eval())
    first = torch.autograd.grad(F.cross_entropy(model(x) / 200, y), weights)
    second = torch.autograd.grad(F.cross_entropy(model(x) / 200, y), weights, create_graph=True)
    product = sum((a * b).sum() for a, b in zip(first, second))
    hessian = torch.autograd.grad(product, weights)
    return keep_largest([w * h for w, h in zip(weights, hessian)], density)


def weights_of(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.ndim > 1]


def keep_largest(scores: list[Tensor], density: float) -> list[Tensor]:
    everything = torch.cat([score.detach().flatten() for score in scores])
    threshold = torch.kthvalue(everything, int((1 - density) * everything.numel())).values
    return [score.detach() > threshold for score in scores]
