"""Image files in one folder for each class: find, check and decode them before any training."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import torch
from torch import Tensor
from torch.utils.data import Dataset

from prunekit.data.badfiles import BadFiles
from prunekit.data.decoding import BadImage, check_file, image_size, read_image
from prunekit.data.splits import Data, Split
from prunekit.errors import DataError

SAMPLE = 1000  # streamed images whose mean and deviation stand for all
MEASURED = 2**27  # values that are measured at once: a gigabyte in float64
LITTER = ("thumbs.db", "desktop.ini")  # what Windows leaves in folders, in letters of any case

ClassFiles = Mapping[str, Sequence[Path]]
"""Class name -> its image files."""


def class_files(folder: Path, inside: str = "") -> dict[str, list[Path]]:
    """What is below each class folder of `folder`, classes and files in sorted order.

    `inside` names a folder of the class folder to look in. Names that begin with a dot are left
    out, and those of `LITTER`. Raises DataError when the folder is missing or has no class folder,
    or when a class folder has no file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; it should hold one folder of images per class")
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and _shown(entry))
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}); see to it") from None
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
    """Everything below a folder that is no folder, sorted; links are not followed into folders."""

    def refused(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}); see to it")

    onerror = refused if folder.is_dir() else None
    found = (
        Path(place, name) for place, _, names in os.walk(folder, onerror=onerror) for name in names
    )
    return sorted(file for file in found if _shown(file))


def _shown(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.lower() not in LITTER


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
    skip_bad: int = 0,
) -> Data:
    """Data of image files, with 3 channels (RGB) or 1 (grey).

    They are turned as their EXIF orientation says; grey values of 16 bits are scaled to 8. Names
    and contents are those that torchvision's ImageFolder takes, of 89,478,485 pixels at most.
    Sets that decode to at most `memory` GB (10^9 bytes) are decoded now, so that every damaged
    file is found before training; of larger ones the headers are read now. With an `input_shape`
    images of any size are streamed and no header is read. The mean and standard deviation are
    those of the training images (of 1,000 when streamed) unless given.
    skip_bad: so many files that hold no image are left out, with a warning that names the first;
    above 0 one thread decodes every file now, streamed or not, at each start, resume and eval.
    Raises DataError naming the file or the class that is missing, empty or damaged.
    """
    optional = {"train": train, "test": test, "validation": validation}
    parts = {name: files for name, files in optional.items() if files is not None}
    for name, files in parts.items():
        _refuse_other_classes(train, files, name)
    bad = BadFiles(skip_bad)
    sizes = _looked_at([f for part in parts.values() for f in _all(part)], bad, not input_shape)
    decoded = bool(sizes) and channels * sum(h * w for h, w in sizes.values()) <= memory * 1e9
    same = next(iter(sizes.values())) if len({*sizes.values()}) == 1 else None
    reading = Reading(channels, same, decoded, bad)
    splits = {name: reading.split(part) for name, part in parts.items()}
    bad.told(among=sum(len(_all(part)) for part in parts.values()))
    for name, split in splits.items():
        _refuse_lost_classes(parts[name], split, name, bad)
    measured = (mean, std) if mean else mean_and_std(splits["train"])
    return Data(
        train=splits["train"],
        test=splits["test"],
        validation=splits.get("validation"),
        classes=len(train),
        input_shape=input_shape or (channels, *(same or ())),
        mean=measured[0],
        std=measured[1],
        class_names=tuple(train),
        bad_files=bad.names,
        sizes="" if same or not sizes else _extremes(sizes),
    )


def _looked_at(files: Sequence[Path], bad: BadFiles, headers: bool) -> dict[Path, tuple[int, int]]:
    """Note what is no image file; the (height, width) of the others, where `headers` are read."""
    bad.good(check_file, files)
    sizes = {file: bad.tried(image_size, file) for file in files if headers and file not in bad}
    return {file: size for file, size in sizes.items() if size is not None}


def _extremes(sizes: Mapping[Path, tuple[int, int]]) -> str:
    """The smallest and the largest image, in words."""
    ends = [
        end(sizes, key=lambda file: (math.prod(sizes[file]), sizes[file])) for end in (min, max)
    ]
    return ", ".join(f"{file} has {sizes[file][1]} x {sizes[file][0]} pixels" for file in ends)


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


def _refuse_lost_classes(part: ClassFiles, split: Split, name: str, bad: BadFiles) -> None:
    left = set(split.labels.tolist())
    for label, (class_name, files) in enumerate(part.items()):
        if files and label not in left:
            raise DataError(
                f"no image of class {class_name!r} in the {name} split can be decoded: {files[0]} "
                f"{bad.found[files[0]].reason}; replace it"
            )


@attrs.frozen(eq=False)
class Reading:
    """How files become a split: in memory when decoded and of one size, else a stream.

    size: (height, width) of every image; None where they differ or are not known. decoded: whether
    a stream is one of tensors. bad: where the files that are left out are noted.
    """

    channels: int
    size: tuple[int, int] | None
    decoded: bool
    bad: BadFiles

    def split(self, part: ClassFiles) -> Split:
        """The split of the files that are not bad, class after class."""
        labelled = [(f, label) for label, files in enumerate(part.values()) for f in files]
        labelled = [(file, label) for file, label in labelled if file not in self.bad]
        if self.decoded and self.size is not None:
            return self._in_memory(labelled, self.size)
        tensors: list[Tensor] = []
        if self.decoded or self.bad.allowed:
            for file, _ in labelled:
                image = self.bad.tried(self.read, file)
                tensors += [image] if self.decoded and image is not None else []
            labelled = [(file, label) for file, label in labelled if file not in self.bad]
        labels = torch.tensor([label for _, label in labelled], dtype=torch.int64)
        stream = tensors or ImageFiles([file for file, _ in labelled], self.channels)
        return Split(None, labels, stream, varied=self.size is None)

    def _in_memory(self, labelled: list[tuple[Path, int]], size: tuple[int, int]) -> Split:
        images = torch.empty(len(labelled), self.channels, *size, dtype=torch.uint8)
        labels: list[int] = []
        for file, label in labelled:
            if (image := self.bad.tried(self.read, file)) is not None:
                images[len(labels)] = image
                labels.append(label)
        return Split(images[: len(labels)], torch.tensor(labels, dtype=torch.int64))

    def read(self, file: Path) -> Tensor:
        """The image; BadImage also where it has another size than its header says."""
        image = read_image(file, self.channels)
        if self.size is not None and image.shape[1:] != self.size:
            raise BadImage(
                file, f"decodes to {tuple(image.shape[1:])}, its header says {self.size}"
            )
        return image


def mean_and_std(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel, in units where white is 1; a constant channel counts as deviation 1."""
    total, squares, pixels = torch.zeros(1), torch.zeros(1), 0
    for images in _parts(split):
        values = images.to(torch.float64).div_(255)  # (batch, channels, height, width)
        total = total + values.sum((0, 2, 3))
        squares = squares + values.square_().sum((0, 2, 3))
        pixels += images[:, 0].numel()
    mean = total / pixels
    std = (squares / pixels - mean.square()).clamp(min=0).sqrt()
    std = torch.where(std < 1e-6, torch.ones_like(std), std)
    return tuple(mean.tolist()), tuple(std.tolist())


def _parts(split: Split) -> Iterator[Tensor]:
    """Images (batch, channels, height, width), whole or rows of them, `MEASURED` values at most."""
    if split.images is not None:
        batches = iter(split.images.split(512))
    else:
        step = max(1, len(split) // SAMPLE)
        batches = (split.stream[i][None] for i in range(0, len(split), step))
    for images in batches:
        row = images.numel() // max(1, images.shape[2])
        yield from images.split(max(1, MEASURED // max(1, row)), dim=2)
