"""Augmentation of whole batches on the device: flips, shifted crops, resized crops.

Chance comes from a CPU generator, a few numbers for each example; only those travel to the
device, without waiting for it. Padding is black (0 before normalisation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

PAD = 4
"""Pixels of padding on each side, as published for 32 x 32 images."""

SCALE, RATIO, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """The CPU tensor on `device`, without waiting for the device."""
    if device.type == "cpu":
        return tensor
    source = tensor.pin_memory() if device.type == "cuda" else tensor
    return source.to(device, non_blocking=True)


def unchanged(images: Tensor, rng: torch.Generator) -> Tensor:
    """The images as they are."""
    return images


def flip(images: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    mirrored = send(_coins(len(images), rng), images.device)
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)


def flip_crop(images: Tensor, rng: torch.Generator) -> Tensor:
    """Pad by 4, cut out a window of the old size at a uniform offset, flip with probability 1/2."""
    count, _, height, width = images.shape
    offsets = torch.randint(2 * PAD + 1, (2, count, 1), generator=rng)
    mirrored = _coins(count, rng).view(-1, 1)
    columns = torch.arange(width)
    rows = offsets[0] + torch.arange(height)
    columns = offsets[1] + torch.where(mirrored, columns.flip(0), columns)
    return _window(F.pad(images, (PAD,) * 4), rows, columns)


def _window(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """images[b, c, rows[b], columns[b]]; rows (batch, height), columns (batch, width)."""
    index = send(torch.cat([rows, columns], 1), images.device)
    rows, columns = index.split([rows.shape[1], columns.shape[1]], 1)
    batch = torch.arange(len(images), device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(images.shape[1], device=images.device).view(1, -1, 1, 1)
    return images[batch, channel, rows[:, None, :, None], columns[:, None, None, :]]


def pad_resized_crop(images: Tensor, rng: torch.Generator) -> Tensor:
    """Pad by 4, cut out a random box, resize it to the old size, flip with probability 1/2.

    Published for IteRand's CIFAR-10: RandomResizedCrop with an area of 0.08-1 of the padded
    image and an aspect ratio of 3/4-4/3; bilinear with antialias. Returns float32 in 0..255.
    Differs from the paper: values are not rounded to integers after the resizing.
    """
    count, _, height, width = images.shape
    boxes = crop_boxes(count, height + 2 * PAD, width + 2 * PAD, rng).to(torch.float32)
    numbers = send(torch.cat([boxes, _coins(count, rng).view(-1, 1)], 1), images.device)
    top, left, tall, wide, mirrored = numbers.unbind(1)
    rows = resampling(top, tall, height, height + 2 * PAD)[..., PAD:-PAD]  # the padding is 0
    columns = resampling(left, wide, width, width + 2 * PAD)[..., PAD:-PAD]
    columns = torch.where(mirrored.view(-1, 1, 1) > 0, columns.flip(1), columns)
    return rows[:, None] @ images.to(torch.float32) @ columns[:, None].mT


def crop_boxes(count: int, height: int, width: int, rng: torch.Generator) -> Tensor:
    """Random boxes (top, left, height, width) in pixels, int64 (count, 4).

    The area is uniform in 0.08-1 of the image, the log of width / height uniform; the first of
    ten draws that fits is taken, else the largest central box of an allowed ratio.
    """
    draws = torch.rand(count, TRIES, 4, generator=rng, dtype=torch.float64)
    area = height * width * (SCALE[0] + (SCALE[1] - SCALE[0]) * draws[..., 0])
    low, high = map(math.log, RATIO)
    ratio = (low + (high - low) * draws[..., 1]).exp()
    wide, tall = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    top = (draws[..., 2] * (height - tall + 1)).floor()
    left = (draws[..., 3] * (width - wide + 1)).floor()
    inside = (wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)
    windows = torch.stack([top, left, tall, wide], -1)  # (count, tries, 4)
    first = windows[torch.arange(count), inside.int().argmax(1)]
    central = torch.tensor(_central_box(height, width), dtype=torch.float64)
    return torch.where(inside.any(1, keepdim=True), first, central).to(torch.int64)


def _central_box(height: int, width: int) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the largest central box with an allowed ratio."""
    wide = min(width, round(height * RATIO[1]))
    tall = min(height, round(width / RATIO[0]))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def resampling(start: Tensor, length: Tensor, out: int, size: int) -> Tensor:
    """Weights (batch, out, size) that resize the pixels [start, start + length) of `size` to `out`.

    Bilinear with antialias: output pixel i lies at (i + 1/2) * length / out, and weighs the
    pixels of the box by a triangle as wide as one output pixel, at least one input pixel.
    """
    scale = (length / out).view(-1, 1, 1)
    reach = scale.clamp(min=1.0)
    first, past = start.view(-1, 1, 1), (start + length).view(-1, 1, 1)
    centre = first + (torch.arange(out, device=start.device).view(1, -1, 1) + 0.5) * scale
    pixel = torch.arange(size, device=start.device).view(1, 1, -1)
    weight = (1 - (pixel + 0.5 - centre).abs() / reach).clamp(min=0.0)
    weight = weight * ((pixel >= first) & (pixel < past))
    return weight / weight.sum(-1, keepdim=True)


def _coins(count: int, rng: torch.Generator) -> Tensor:
    return torch.randint(2, (count,), generator=rng).bool()


AUGMENTS: Mapping[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "none": unchanged,
    "flip": flip,
    "flip-crop": flip_crop,
    "pad-resized-crop": pad_resized_crop,
}
"""uint8 images (batch, channels, height, width) -> uint8 or float32 in 0..255, the same shape."""
