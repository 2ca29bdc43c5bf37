"""Small published sets that torchvision downloads, checks and reads, as Data."""

from __future__ import annotations

import contextlib
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
) -> Data:
    """Data of a torchvision dataset class with `train=`, `data`, `targets` and `classes`.

    `path` is the folder that holds (or, with `download`, will hold) its files; `files` says
    which, for the message. Raises DataError, one line, when they are missing or damaged.
    """
    root = Path(path).expanduser()
    existed = root.exists()
    try:
        train, test = (dataset(str(root), train=part, download=download) for part in (True, False))
    except TROUBLE as error:
        if not existed:
            remove_empty(root)
        reason = " ".join(str(error).split()) or type(error).__name__
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
