"""Folder: your own images, in one folder per class, as torchvision's ImageFolder reads them.

    PATH/train/<class>/*.png    PATH/test/<class>/*.png    PATH/val/<class>/*.png

With both test/ and val/ the latter is the validation set; with one of them it is the test set.
Files are .jpg, .jpeg, .png, .ppm, .bmp, .pgm, .tif, .tiff and .webp, in any case of letters, and
hold one of these formats, with 89,478,485 pixels at most; of several frames the first is read.
Source: the layout of https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html
Differs from the paper: there is no paper; unlike ImageFolder, a file that is no image is an error,
unless `data.skip_bad` lets it be left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import attrs

import prunekit


@attrs.frozen
class Folder:
    """Your own images: PATH/train/<class>/*.png and PATH/test/<class>/*.png (or val)."""

    same_bits_as: ClassVar[tuple[str, ...]] = (  # the file without `skip_bad`
        "22a1966580d14019bd85c8095822031adb9c5e9bdd0b6c173075f732344e248b",
    )

    path: str = prunekit.option(
        "", help="the folder that holds train/ and test/ (or val/)", path=True
    )
    channels: Literal[3, 1] = prunekit.option(3, help="3 reads images as RGB, 1 as grey")
    memory: float = prunekit.option(
        2.0,
        help="GB of decoded images held in memory; larger sets stream",
        validator=prunekit.at_least(0),
    )

    def load(self, skip_bad: int = 0) -> prunekit.Data:
        root = found(self.path)
        train = prunekit.class_files(root / "train")
        held_out = [prunekit.class_files(root / name) for name in held_out_names(root)]
        return prunekit.image_data(
            train, *held_out, channels=self.channels, memory=self.memory, skip_bad=skip_bad
        )


def found(path: str) -> Path:
    """The folder at `path`; DataError when it is not given or not there."""
    root = Path(path).expanduser()
    if not path or not root.is_dir():
        given = repr(path) if path else "nothing"
        raise prunekit.DataError(
            f"dataset.path must be a folder with train/ and test/ (or val/) inside: {given}"
        )
    return root


def held_out_names(root: Path) -> list[str]:
    """The folder of the test set, then that of the validation set where there is one."""
    names = [name for name in ("test", "val") if (root / name).is_dir()]
    if not names:
        raise prunekit.DataError(f"{root} has neither test/ nor val/; give it one of them")
    return names


@prunekit.hookimpl
def prunekit_datasets() -> dict[str, type]:
    return {"folder": Folder}
