"""Tiny ImageNet: 100,000 training and 10,000 test images, 64 x 64 RGB, of 200 classes.

Le & Yang, Tiny ImageNet Visual Recognition Challenge, CS 231N 2015,
http://cs231n.stanford.edu/tiny-imagenet-200.zip, unpacked:

    PATH/train/<class>/images/*.JPEG    PATH/val/images/*.JPEG    PATH/val/val_annotations.txt

Differs from the paper: its validation set is the test set here, since its test set has no labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import attrs

import prunekit

MEAN, STD = (0.480, 0.448, 0.397), (0.277, 0.269, 0.282)


@attrs.frozen
class TinyImageNet:
    """110,000 images of 64 x 64 pixels in 200 classes, from its unpacked archive."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file without `skip_bad`
        "e6382f5431860e5ab9f513fa32ebb0986bd97e7abdae01fe79fe4ba45418c0ef",
    )

    suggests: ClassVar[dict[str, Any]] = {"data.augment": "flip-crop"}

    path: str = prunekit.option(
        "~/.cache/prunekit/tiny-imagenet-200",
        help="the folder that holds train/ and val/",
        path=True,
    )
    memory: float = prunekit.option(
        2.0,
        help="GB of decoded images held in memory; larger sets stream (this one has 1.35)",
        validator=prunekit.at_least(0),
    )

    def load(self, skip_bad: int = 0) -> prunekit.Data:
        root = Path(self.path).expanduser()
        train = prunekit.class_files(root / "train", inside="images")
        test = annotated(root / "val", classes=list(train))
        return prunekit.image_data(
            train, test, memory=self.memory, mean=MEAN, std=STD, skip_bad=skip_bad
        )


def annotated(folder: Path, classes: list[str]) -> dict[str, list[Path]]:
    """Class -> files of `folder`/images, as `folder`/val_annotations.txt has them.

    Each of its lines begins with a file's name, a tab and a class. Raises DataError for a file
    that is missing and for a line or class that cannot be understood.
    """
    table = folder / "val_annotations.txt"
    if not table.is_file():
        raise prunekit.DataError(f"{table} is missing; unpack tiny-imagenet-200.zip again")
    files: dict[str, list[Path]] = {name: [] for name in classes}
    for number, line in enumerate(table.read_text(errors="replace").splitlines(), 1):
        name, *rest = line.split("\t")
        if not rest or rest[0] not in files:
            raise prunekit.DataError(
                f"{table}, line {number}: expected a file and a class: {line!r}"
            )
        file = folder / "images" / name
        if not file.is_file():
            raise prunekit.DataError(f"{file} is missing; unpack tiny-imagenet-200.zip again")
        files[rest[0]].append(file)
    return {name: sorted(some) for name, some in files.items() if some}


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"tiny-imagenet": TinyImageNet}
