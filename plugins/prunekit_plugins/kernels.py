"""Kernels: keep or prune whole 2-D kernels, those with the largest L1 norm of scores.

Qian & Klabjan, "A Probabilistic Approach to Neural Network Pruning", ICML 2021,
https://arxiv.org/abs/2105.10065, appendix C.2: a convolution F of shape (d', d, q, q) has d' d
kernels F_{s,t}, ranked by

    score(s, t) = sum_{i,j} |F_{s,t,i,j}|

in the unit of the scores, and the N smallest are pruned. With scorer magnitude these are the L1
norms of the weights, in the same order as those of the circulant matrices of the convolution. A
mask repeats over q x q. A weight of a layer that is no convolution is a kernel of its own.
Differs from the paper: any scorer may rank the kernels; the density decides N, and the allocation
how many weights each layer keeps, rounded to whole kernels: the number kept may differ from the
one asked for by half a kernel in each layer. Of equal norms the first is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import attrs
import torch
from torch import Tensor

import prunekit
from prunekit import Budget, Sampled, Scores


@attrs.frozen
class Kernels:
    """Keep the 2-D kernels whose scores have the largest sum of absolute values."""

    exact: ClassVar[bool] = False

    def sample(self, scores: Scores, budget: Budget, rng: torch.Generator) -> Sampled:
        norms = {name: kernel_norms(score) for name, score in scores.items()}
        spread = {name: expanded(norms[name], score.shape) for name, score in scores.items()}
        counts = {name: int(count) for name, count in budget.counts(spread).items()}
        rivals = None
        if budget.competing is not None:
            rivals = {name: grouped(mask).any(-1) for name, mask in budget.competing.items()}
        sizes = {name: kernel_size(score.shape) for name, score in scores.items()}
        whole = {
            name: min(nearest(counts[name], sizes[name]), room(norms[name], name, rivals))
            for name in scores
        }
        masks = prunekit.top_k_each(norms, whole, rivals)
        full = {name: expanded(mask, scores[name].shape) for name, mask in masks.items()}
        if budget.competing is not None:
            full = {name: mask & budget.competing[name] for name, mask in full.items()}
        return Sampled(full)


def kernel_size(shape: torch.Size) -> int:
    """Weights in one kernel: the dimensions after output and input channel."""
    return math.prod(shape[2:])


def grouped(tensor: Tensor) -> Tensor:
    """(kernels, weights in a kernel), row-major."""
    size = kernel_size(tensor.shape)
    return tensor.reshape(tensor.numel() // size if size else 0, size)


def kernel_norms(score: Tensor) -> Tensor:
    """(kernels,): the L1 norm of each kernel's scores, in float64."""
    return grouped(score.detach().double()).abs().sum(-1)


def expanded(values: Tensor, shape: torch.Size) -> Tensor:
    """One value a kernel -> a tensor of the weight's shape."""
    return values.unsqueeze(-1).expand(-1, kernel_size(shape)).reshape(shape)


def nearest(count: int, size: int) -> int:
    """Kernels that hold `count` weights, to the nearest, but one where any weight is kept."""
    return max(round(count / size), 1) if count else 0


def room(norms: Tensor, name: str, rivals: Mapping[str, Tensor] | None) -> int:
    """How many kernels of a layer may be kept."""
    return len(norms) if rivals is None else int(torch.count_nonzero(rivals[name]))


@prunekit.hookimpl
def prunekit_samplers() -> dict[str, type[Kernels]]:
    return {"kernels": Kernels}
