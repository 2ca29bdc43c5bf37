"""A data set of small images on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_folder(place: Path, classes: int, train: int, test: int) -> None:
    """PATH/{train,test}/<class>/*.png of 8 x 8 pixels, so many in each class."""
    rng = np.random.default_rng(0)
    for split, count in {"train": train, "test": test}.items():
        for label in range(classes):
            folder = place / split / f"class-{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256 >> label, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
