"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 x 28 grey.

Xiao, Rasul & Vollgraf, Fashion-MNIST: a novel image dataset, 2017,
https://arxiv.org/abs/1708.07747.
Differs from the paper: normalised by mean and standard deviation of the training set.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from torchvision import datasets

import prunekit

UNPACKED = {
    "FashionMNIST/raw/train-images-idx3-ubyte": (47_040_016, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    "FashionMNIST/raw/train-labels-idx1-ubyte": (60_008, "9018921c3c673c538a1fc5bad174d6f9"),
    "FashionMNIST/raw/t10k-images-idx3-ubyte": (7_840_016, "8181f5470baa50b63fa0f6fddb340f0a"),
    "FashionMNIST/raw/t10k-labels-idx1-ubyte": (10_008, "15d484375f8d13e6eb1aabb0c3f46965"),
}
"""File -> its bytes and MD5, unpacked; torchvision checks the archives only."""


@attrs.frozen
class FashionMNIST:
    """70,000 pieces of clothing of 28 x 28 pixels in 10 classes."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file without MD5 sums
        "9adc119fffb0fa82d8e2850d2a221acb6cc551a4a9b9e635201618e72a9ae0e7",
    )
    suggests: ClassVar[dict[str, Any]] = {"data.augment": "flip"}

    path: str = prunekit.option(
        "~/.cache/prunekit", help="the folder that holds FashionMNIST/raw/", path=True
    )
    download: bool = prunekit.option(True, help="fetch the files where they are missing")

    def load(self) -> prunekit.Data:
        return prunekit.published_data(
            datasets.FashionMNIST,
            self.path,
            self.download,
            files="FashionMNIST/raw/",
            mean=(0.2860,),
            std=(0.3530,),
            unpacked=UNPACKED,
        )


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"fashion-mnist": FashionMNIST}
