"""CIFAR-100: 50,000 training and 10,000 test images, 32 x 32 RGB, of 100 classes.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,
https://www.cs.toronto.edu/~kriz/cifar.html.
Differs from the paper: normalised by mean and standard deviation of the training set.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from torchvision import datasets

import prunekit


@attrs.frozen
class CIFAR100:
    """60,000 images of 32 x 32 pixels in 100 classes."""

    suggests: ClassVar[dict[str, Any]] = {"data.augment": "flip-crop"}

    path: str = prunekit.option(
        "~/.cache/prunekit", help="the folder that holds cifar-100-python/", path=True
    )
    download: bool = prunekit.option(True, help="fetch the files where they are missing")

    def load(self) -> prunekit.Data:
        return prunekit.published_data(
            datasets.CIFAR100,
            self.path,
            self.download,
            files="cifar-100-python/",
            mean=(0.5071, 0.4865, 0.4409),
            std=(0.2673, 0.2564, 0.2762),
        )


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"cifar100": CIFAR100}
