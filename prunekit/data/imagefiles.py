"""Image files in one folder for each class: find, check and decode them before any training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from prunekit.data.decoding import image_size, read_image
from prunekit.data.splits import Data, Split
from prunekit.errors import DataError

SAMPLE = 1000  # streamed images whose mean and deviation stand for all

ClassFiles = Mapping[str, Sequence[Path]]
"""Class name -> its image files."""


def class_files(folder: Path, inside: str = "") -> dict[str, list[Path]]:
    """The files below each class folder of `folder`, classes and files in sorted order.

    `inside` names a folder of the class folder to look in. Names that begin with a dot are left
    out. Raises DataError when the folder is missing or has no class folder, or when a class folder
    has no file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; it should hold one folder of images per class")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and _shown(entry))
    if not names:
        raise DataError(f"{folder} is empty; it should hold one folder of images per class")
    by_class = {name: _files_below(folder / name / inside) for name in names}
    for name, files in by_class.items():
        if not files:
            raise DataError(
                f"{folder / name / inside} has no images; add some or delete the folder"
            )
    return by_class


def _files_below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if _shown(file) and file.is_file())


def _shown(path: Path) -> bool:
    return not path.name.startswith(".")


class ImageFiles(Dataset[Tensor]):
    """A stream of image files: index -> uint8 (channels, height, width)."""

    def __init__(self, files: Sequence[Path], channels: int) -> None:
        self.files, self.channels = files, channels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return read_image(self.files[index], self.channels)


def image_data(
    train: ClassFiles,
    test: ClassFiles,
    validation: ClassFiles | None = None,
    *,
    channels: int = 3,
    memory: float = 2.0,
    input_shape: tuple[int, ...] | None = None,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
) -> Data:
    """Data of image files, with 3 channels (RGB) or 1 (grey).

    They are turned as their EXIF orientation says; grey values of 16 bits are scaled to 8.
    Sets that decode to at most `memory` GB (10^9 bytes) are decoded now, so that every damaged
    file is found before training; of larger ones the headers are read now. With an `input_shape`
    images of any size are streamed and no header is read. The mean and standard deviation are
    those of the training images (of 1,000 when streamed) unless given. Raises DataError naming
    the file or the class that is missing, empty or damaged.
    """
    optional = {"train": train, "test": test, "validation": validation}
    sets = {name: files for name, files in optional.items() if files is not None}
    for name, files in sets.items():
        _refuse_other_classes(train, files, name)
        _refuse_empty_files(files)
    sizes = [] if input_shape else [image_size(f) for files in sets.values() for f in _all(files)]
    decoded = bool(sizes) and channels * sum(h * w for h, w in sizes) <= memory * 1e9
    size = sizes[0] if len(set(sizes)) == 1 else None
    splits = {name: _split(files, channels, size, decoded) for name, files in sets.items()}
    measured = (mean, std) if mean else mean_and_std(splits["train"])
    return Data(
        train=splits["train"],
        test=splits["test"],
        validation=splits.get("validation"),
        classes=len(train),
        input_shape=input_shape or (channels, *(size or ())),
        mean=measured[0],
        std=measured[1],
        class_names=tuple(train),
    )


def _all(part: ClassFiles) -> list[Path]:
    return [file for files in part.values() for file in files]


def _refuse_other_classes(train: ClassFiles, part: ClassFiles, name: str) -> None:
    for here, there, lacks in ((train, part, name), (part, train, "train")):
        if missing := sorted(set(here) - set(there)):
            example = here[missing[0]][0]
            raise DataError(
                f"class {missing[0]!r} is missing from the {lacks} split (it has images such as "
                f"{example}); every split needs a folder for each class"
            )


def _refuse_empty_files(part: ClassFiles) -> None:
    for file in _all(part):
        if file.stat().st_size == 0:
            raise DataError(f"{file} is empty (0 bytes); replace or delete it")


def _split(part: ClassFiles, channels: int, size: tuple[int, int] | None, decoded: bool) -> Split:
    """In memory when decoded and of one size, else a stream, of tensors when decoded."""
    counts = torch.tensor([len(files) for files in part.values()])
    labels = torch.arange(len(part)).repeat_interleave(counts)
    stream = ImageFiles(_all(part), channels)
    if not decoded:
        return Split(None, labels, stream, varied=size is None)
    if size is None:
        return Split(None, labels, [stream[i] for i in range(len(stream))], varied=True)
    images = torch.empty(len(stream), channels, *size, dtype=torch.uint8)
    for i in range(len(stream)):
        images[i] = stream[i]
    return Split(images, labels)


def mean_and_std(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel, in units where white is 1; a constant channel counts as deviation 1."""
    total, squares, pixels = torch.zeros(1), torch.zeros(1), 0
    for images in _parts(split):
        values = images.to(torch.float64) / 255  # (batch, channels, height, width)
        total = total + values.sum((0, 2, 3))
        squares = squares + values.square().sum((0, 2, 3))
        pixels += values[:, 0].numel()
    mean = total / pixels
    std = (squares / pixels - mean.square()).clamp(min=0).sqrt()
    std = torch.where(std < 1e-6, torch.ones_like(std), std)
    return tuple(mean.tolist()), tuple(std.tolist())


def _parts(split: Split) -> Iterator[Tensor]:
    if split.images is not None:
        yield from split.images.split(512)
        return
    step = max(1, len(split) // SAMPLE)
    yield from (split.stream[i][None] for i in range(0, len(split), step))
