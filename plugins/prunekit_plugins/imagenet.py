"""ImageNet: 1,281,167 training and 50,000 test images of 1,000 classes, cropped to 224 x 224.

Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015,
https://arxiv.org/abs/1409.0575; the ILSVRC2012 archives, unpacked:

    PATH/train/<class>/*.JPEG    PATH/val/<class>/*.JPEG

Streamed. In training a random resized crop and a flip ("flip-crop"), in tests the short side
resized to 256 and the centre cut out (both in proportion for another `data.size`).
Differs from the paper: its validation set is the test set here, since its test set has no labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import attrs

import prunekit

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@attrs.frozen
class ImageNet:
    """1.3 million images in 1,000 classes, streamed from the unpacked ILSVRC2012 archives."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file without `skip_bad`
        "77438eb6e357601f3293b8c42973cc6fe1641f2e88458bf3702e8c95ad2a0ac0",
    )

    suggests: ClassVar[dict[str, Any]] = {"data.augment": "flip-crop"}

    path: str = prunekit.option(
        "~/.cache/prunekit/imagenet", help="the folder that holds train/ and val/", path=True
    )

    def load(self, skip_bad: int = 0) -> prunekit.Data:
        root = Path(self.path).expanduser()
        train, test = (prunekit.class_files(root / name) for name in ("train", "val"))
        shape = (3, 224, 224)
        return prunekit.image_data(
            train, test, input_shape=shape, mean=MEAN, std=STD, skip_bad=skip_bad
        )


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"imagenet": ImageNet}
