"""MNIST: 60,000 training and 10,000 test images of digits, 28 x 28 grey.

LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition,
Proc. IEEE 1998, https://doi.org/10.1109/5.726791.
Differs from the paper: normalised by mean and standard deviation of the training set.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from torchvision import datasets

import prunekit


@attrs.frozen
class MNIST:
    """70,000 handwritten digits of 28 x 28 pixels."""

    suggests: ClassVar[dict[str, Any]] = {"data.augment": "none"}

    path: str = prunekit.option(
        "~/.cache/prunekit", help="the folder that holds MNIST/raw/", path=True
    )
    download: bool = prunekit.option(True, help="fetch the files where they are missing")

    def load(self) -> prunekit.Data:
        return prunekit.published_data(
            datasets.MNIST,
            self.path,
            self.download,
            files="MNIST/raw/",
            mean=(0.1307,),
            std=(0.3081,),
        )


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"mnist": MNIST}
