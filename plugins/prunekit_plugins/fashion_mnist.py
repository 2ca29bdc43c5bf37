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


@attrs.frozen
class FashionMNIST:
    """70,000 pieces of clothing of 28 x 28 pixels in 10 classes."""

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
        )


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"fashion-mnist": FashionMNIST}
