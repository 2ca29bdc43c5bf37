"""CIFAR-10: 50,000 training and 10,000 test images, 32 x 32 RGB, of 10 classes.

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
class CIFAR10:
    """60,000 images of 32 x 32 pixels in 10 classes."""

    suggests: ClassVar[dict[str, Any]] = {"data.augment": "flip-crop"}

    path: str = prunekit.option(
        "~/.cache/prunekit", help="the folder that holds cifar-10-batches-py/", path=True
    )
    download: bool = prunekit.option(True, help="fetch the files where they are missing")

    def load(self) -> prunekit.Data:
        return prunekit.published_data(
            datasets.CIFAR10,
            self.path,
            self.download,
            files="cifar-10-batches-py/",
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2470, 0.2435, 0.2616),
        )


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"cifar10": CIFAR10}
