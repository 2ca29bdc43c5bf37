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

UNPACKED = {
    "MNIST/raw/train-images-idx3-ubyte": (47_040_016, "6bbc9ace898e44ae57da46a324031adb"),
    "MNIST/raw/train-labels-idx1-ubyte": (60_008, "a25bea736e30d166cdddb491f175f624"),
    "MNIST/raw/t10k-images-idx3-ubyte": (7_840_016, "2646ac647ad5339dbf082846283269ea"),
    "MNIST/raw/t10k-labels-idx1-ubyte": (10_008, "27ae3e4e09519cfbb04c329615203637"),
}
"""File -> its bytes and MD5, unpacked; torchvision checks the archives only."""


@attrs.frozen
class MNIST:
    """70,000 handwritten digits of 28 x 28 pixels."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file without MD5 sums
        "9d233009ea7cb2d58580e3e4215d3cb904a0bc0dfad9de62df888fb4488506ff",
    )
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
            unpacked=UNPACKED,
        )


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"mnist": MNIST}
