"""Large sets that are read while training: examples by index, fitted to one size, in workers.

What an example looks like is a function of a seed and its index and nothing else, so neither the
number of workers nor a resumed run changes a bit.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from prunekit.data.augment import PAD, crop_boxes
from prunekit.data.workers import leave_signals_to_parent
from prunekit.draws.chance import generator
from prunekit.errors import DataError, PrunekitError, out_of_memory, warn

Size = tuple[int, int]


class Stream(Protocol):
    """A map-style dataset of images: index -> uint8 (channels, height, width)."""

    def __getitem__(self, index: int) -> Tensor: ...


def resize(image: Tensor, size: Size) -> Tensor:
    """uint8 (..., channels, height, width) at `size`: bilinear with antialias."""
    whole = image if image.dim() == 4 else image[None]
    resized = F.interpolate(whole, size, mode="bilinear", antialias=True, align_corners=False)
    return resized if image.dim() == 4 else resized[0]


def example_of(stream: Stream, index: int) -> Tensor:
    """The image at `index`; DataError where it is no uint8 (channels, height, width)."""
    image = stream[index]
    if not isinstance(image, Tensor) or image.dtype != torch.uint8 or image.ndim != 3:
        shown = (image.dtype, *image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise DataError(
            f"example {index} of a stream must be uint8 (channels, height, width): {shown}"
        )
    return image


def centre(image: Tensor, size: Size, rng: torch.Generator) -> Tensor:
    """Resize the short side to 8/7 of the size (256 for 224), cut out the centre."""
    height, width = image.shape[-2:]
    short = round(max(size) * 256 / 224)
    scale = short / min(height, width)
    image = resize(image, (max(short, int(height * scale)), max(short, int(width * scale))))
    top, left = (round((have - want) / 2) for have, want in zip(image.shape[-2:], size))
    return image[..., top : top + size[0], left : left + size[1]]


def centre_flip(image: Tensor, size: Size, rng: torch.Generator) -> Tensor:
    return _flipped(centre(image, size, rng), rng)


def resized_crop(image: Tensor, size: Size, rng: torch.Generator) -> Tensor:
    """RandomResizedCrop (area 0.08-1, ratio 3/4-4/3), then a flip with probability 1/2."""
    top, left, tall, wide = crop_boxes(1, image.shape[-2], image.shape[-1], rng)[0].tolist()
    return _flipped(resize(image[..., top : top + tall, left : left + wide], size), rng)


def padded_resized_crop(image: Tensor, size: Size, rng: torch.Generator) -> Tensor:
    return resized_crop(F.pad(image, (PAD,) * 4), size, rng)


def _flipped(image: Tensor, rng: torch.Generator) -> Tensor:
    return image.flip(-1) if torch.randint(2, (), generator=rng) else image


TO_ONE_SIZE: Mapping[str, Callable[[Tensor, Size, torch.Generator], Tensor]] = {
    "none": centre,
    "flip": centre_flip,
    "flip-crop": resized_crop,
    "pad-resized-crop": padded_resized_crop,
}
"""How images of any size come to one size, by the name of the augmentation."""


class Resized(Dataset[Tensor]):
    """A stream whose images are all resized to `size`, whatever their proportions."""

    def __init__(self, stream: Stream, size: Size) -> None:
        self.stream, self.size = stream, size

    def __getitem__(self, index: int) -> Tensor:
        return resize(example_of(self.stream, index), self.size)


class Fitted(Dataset[Tensor]):
    """A stream of images of any size, each brought to `size` as `augment` says.

    Chance is a function of `seed` and the example's index.
    """

    def __init__(self, stream: Stream, size: Size, augment: str = "none", seed: int = 0) -> None:
        self.stream, self.size, self.seed = stream, size, seed
        self.to_one_size = TO_ONE_SIZE[augment]

    def __getitem__(self, index: int) -> Tensor:
        rng = generator(self.seed, index)
        return self.to_one_size(example_of(self.stream, index), self.size, rng).contiguous()


class _Guarded(Dataset[Tensor | str]):
    """Hands a refusal over as text: a loader would wrap it into a traceback of many lines.

    Whatever else is raised leaves a worker as text too: not every exception can be sent, and
    SystemExit would end the worker without a word.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            return example_of(self.stream, index)
        except PrunekitError as error:
            return str(error)
        except BaseException as error:
            if get_worker_info() is None or isinstance(error, KeyboardInterrupt):
                raise
            text = "".join(traceback.format_exception(error))
            raise (MemoryError if out_of_memory(error) else RuntimeError)(text) from None


def _stacked(examples: list[Tensor | str]) -> Tensor | str:
    problems = [example for example in examples if isinstance(example, str)]
    if problems:
        return problems[0]
    images = [example for example in examples if isinstance(example, Tensor)]
    shapes = sorted({tuple(image.shape) for image in images})
    if len(shapes) > 1:
        return f"the images of a stream differ in shape: {shapes}; a Split of such has varied=True"
    return torch.stack(images)


def possible(workers: int) -> int:
    """So many workers, none in a daemonic process, which may have no children; a line says so."""
    if workers and multiprocessing.current_process().daemon:
        warn(
            f"data.workers = {workers} acts as 0: this process is daemonic and may start no "
            "others; the batches are the same"
        )
        return 0
    return workers


def read_batches(
    stream: Stream, indices: Sequence[Tensor], *, workers: int = 0, pin: bool = False
) -> Iterator[Tensor]:
    """One uint8 batch (batch, channels, height, width) on the CPU for each index tensor.

    Raises DataError, one line, when an image cannot be read.
    """
    loader: DataLoader[Tensor | str] = DataLoader(
        _Guarded(stream),
        batch_sampler=[chunk.tolist() for chunk in indices],
        collate_fn=_stacked,
        num_workers=min(possible(workers), len(indices)),
        pin_memory=pin,
        worker_init_fn=leave_signals_to_parent,
        generator=generator(0, "loader"),  # else each epoch would draw from the global generator
    )
    try:
        for batch in loader:
            if isinstance(batch, str):
                raise DataError(batch)
            yield batch
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error) or out_of_memory(error):
            raise
        raise DataError(f"{error}: it read the data; data.workers = 0 may show why") from error
