"""Random images in place of real ones: what the network sees, after normalisation.

"Normal" images have the dataset's mean and standard deviation per channel before normalisation;
normalised by that same mean and deviation they are draws from N(0, 1).

"Sparse-normal" images keep, at each pixel location (h, w), the draw of one image of the batch,
chosen uniformly and with all its channels; every other image is zero there. The zeros are zeros
of what the network sees, since the analysis of sparse data is about the network's inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

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
