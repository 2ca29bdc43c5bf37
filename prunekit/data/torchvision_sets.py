"""Small published sets that torchvision downloads, checks and reads, as Data."""

from __future__ import annotations

import contextlib
import hashlib
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunekit.data.splits import Data, Split
from prunekit.errors import DataError

TROUBLE = (RuntimeError, OSError, ValueError, AssertionError, EOFError)
"""What torchvision raises for files that are missing, unreachable or damaged."""


def published_data(
    dataset: Any,
    path: str,
    download: bool,
    *,
    files: str,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    unpacked: Mapping[str, tuple[int, str]] | None = None,
) -> Data:
    """Data of a torchvision dataset class with `train=`, `data`, `targets` and `classes`.

    `path` is the folder that holds (or, with `download`, will hold) its files; `files` says
    which, for the message. unpacked: names of IDX files below `path`, of which torchvision checks
    no sum -> the bytes and the MD5 of the published ones. Raises DataError, one line that names
    the file where it is known, when they are missing or damaged.
    """
    root = Path(path).expanduser()
    existed = root.exists()
    try:
        for name, published in (unpacked or {}).items():
            check_idx(root / name, *published)
        train, test = (dataset(str(root), train=part, download=download) for part in (True, False))
    except TROUBLE as error:
        if not existed:
            remove_empty(root)
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = next(iter(wrong_sums(dataset, root)), reason)
        raise DataError(
            f"{dataset.__name__} cannot be read from {root} ({reason}); put {files} there"
        ) from None
    images = pixels(train.data)
    return Data(
        train=Split(images, labels(train.targets)),
        test=Split(pixels(test.data), labels(test.targets)),
        classes=len(train.classes),
        input_shape=tuple(images.shape[1:]),
        mean=mean,
        std=std,
        class_names=tuple(train.classes),
    )


def check_idx(file: Path, size: int, md5: str) -> None:
    """ValueError unless the IDX file, where there is one, holds what its header says.

    One of the published `size`, in bytes, must have the published MD5.
    """
    if not file.is_file():
        return
    content = file.read_bytes()
    axes = content[3] if len(content) > 3 else 0
    start = 4 + 4 * axes
    sizes = struct.unpack(f">{axes}I", content[4:start]) if len(content) >= start else ()
    if not axes or len(content) != start + math.prod(sizes):
        raise ValueError(f"{file} is damaged: {len(content)} bytes, not what its header says")
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if len(content) == size and actual != md5:
        raise ValueError(f"{file} is damaged: its MD5 is {actual}, not {md5}")


def wrong_sums(dataset: Any, root: Path) -> Iterator[str]:
    """What is wrong with the files whose sums the dataset class lists, as CIFAR's does."""
    listed = [*getattr(dataset, "train_list", ()), *getattr(dataset, "test_list", ())]
    meta = getattr(dataset, "meta", {})
    listed += [(meta["filename"], meta["md5"])] if meta else []
    found = [(root / dataset.base_folder / name, md5) for name, md5 in listed]
    if not any(file.exists() for file, _ in found):
        return  # nothing is there; what torchvision says is plainer
    for file, md5 in found:
        if not file.is_file():
            yield f"{file} is missing"
        elif (actual := hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()) != md5:
            yield f"{file} is corrupted: its MD5 is {actual}, not {md5}"


def remove_empty(root: Path) -> None:
    """Remove the empty folders that a failed download made."""
    for folder in [*sorted(root.rglob("*"), reverse=True), root]:
        with contextlib.suppress(OSError):
            folder.rmdir()


def pixels(data: Tensor | np.ndarray) -> Tensor:
    """uint8 (N, height, width[, channels]) as (N, channels, height, width)."""
    images = torch.as_tensor(data)
    return images[:, None] if images.dim() == 3 else images.permute(0, 3, 1, 2).contiguous()


def labels(targets: Any) -> Tensor:
    """int64 (N,)."""
    return torch.as_tensor(targets, dtype=torch.int64)
