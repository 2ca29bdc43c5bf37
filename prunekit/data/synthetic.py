"""Random images in place of real ones: what the network sees, after normalisation.

"Normal" images have the dataset's mean and standard deviation per channel before normalisation;
normalised by that same mean and deviation they are draws from N(0, 1).

"Sparse-normal" images keep, at each pixel location (h, w), the draw of one image of the batch,
chosen uniformly and with all its channels; every other image is zero there. The zeros are zeros
of what the network sees, since the analysis of sparse data is about the network's inputs.

Both are drawn anew for each batch, with uniform labels. "Fixed-normal" and "labelled-normal" are a
noise set instead: each example of the training split has one image from N(0, 1), the same in every
epoch, round and scored batch of a run; its label is drawn once, uniformly, or is the example's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from prunekit.draws.chance import generator

Shape = tuple[int, ...]


def normal(shape: Shape, rng: torch.Generator) -> Tensor:
    """Draws from N(0, 1), float32 of shape (batch, channels, height, width)."""
    return torch.randn(shape, generator=rng)


def sparse_normal(shape: Shape, rng: torch.Generator) -> Tensor:
    """Draws from N(0, 1) in one image of the batch at each location, zero in all others."""
    batch, _, *location = shape
    images = torch.randn(shape, generator=rng)
    chosen = torch.randint(batch, (1, 1, *location), generator=rng)
    here = torch.arange(batch).view(-1, *(1 for _ in shape[1:])) == chosen
    return images * here  # here: (batch, 1, height, width)


RANDOM_IMAGES: Mapping[str, Callable[[Shape, torch.Generator], Tensor]] = {
    "normal": normal,
    "sparse-normal": sparse_normal,
}

FIXED = ("fixed-normal", "labelled-normal")
"""Sources of random images that belong to an example."""


def fixed_normal(index: Tensor, shape: Shape, seed: int) -> Tensor:
    """The noise images (len(index), *shape) of the examples at `index` (int64); float32."""
    return torch.stack([normal(shape, generator(seed, "noise", i)) for i in index.tolist()])


def fixed_labels(count: int, classes: int, seed: int) -> Tensor:
    """The labels of `count` such images, uniform in 0 ... classes - 1; int64 (count,)."""
    return torch.randint(classes, (count,), generator=generator(seed, "noise labels"))
