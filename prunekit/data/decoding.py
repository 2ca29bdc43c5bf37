"""One image file: its size, and its pixels as 8 bits, upright, whatever its format holds."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from torch import Tensor

from prunekit.errors import DataError

MODES: Mapping[int, str] = {1: "L", 3: "RGB"}
"""Channels -> what Pillow calls them."""

DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow raises for a damaged file."""

TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what shows the image as it was seen; 1 and unknown ones: as it is."""


def read_image(file: Path, channels: int = 3) -> Tensor:
    """uint8 (channels, height, width), turned as its EXIF orientation says.

    Grey values of 16 bits are scaled to 8 by their range: v / 257, rounded. Raises DataError
    naming the file when it is no whole image, or one of numbers without a range.
    """
    with _opened(file) as image:
        image.load()
        image.info.pop("transparency", None)  # no colour depends on it; Pillow would warn
        shown = _of_8_bits(image).convert(MODES[channels])
        turn = TURNS.get(_orientation(image))
        pixels = np.array(shown if turn is None else shown.transpose(turn))
    return torch.from_numpy(pixels).view(*pixels.shape[:2], channels).permute(2, 0, 1)


def image_size(file: Path) -> tuple[int, int]:
    """(height, width) of what `read_image` gives, from the header where that says it.

    Raises DataError naming the file when it is no image.
    """
    with _opened(file) as image:
        if _turned_by_pillow(image) or _tells_more_at_its_end(image):
            image.load()
        across = _orientation(image) >= 5
        return (image.width, image.height) if across else (image.height, image.width)


def _orientation(image: ImageFile) -> int:
    """The EXIF orientation; 1 where there is none, or none that can be read."""
    if image.format == "TIFF":
        return 1  # Pillow turns it as it loads it
    try:
        found = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except (*DAMAGE, KeyError, TypeError):
        return 1
    return found if found in TURNS else 1


def _turned_by_pillow(image: ImageFile) -> bool:
    """Whether it is a TIFF on its side; some versions know its size when it is loaded only."""
    tags = getattr(image, "tag_v2", {})
    return image.format == "TIFF" and tags.get(ExifTags.Base.Orientation, 1) != 1


def _tells_more_at_its_end(image: ImageFile) -> bool:
    """Whether a PNG has text or EXIF after its pixels, where opening it does not look."""
    stream = image.fp
    if image.format != "PNG" or stream is None:
        return False
    position, kinds = stream.tell(), []
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        kinds.append(head[4:])
        stream.seek(int.from_bytes(head[:4], "big") + 4, 1)
    stream.seek(position)
    return bool({b"eXIf", b"iTXt", b"tEXt", b"zTXt"} & {*kinds[kinds.index(b"IDAT") :]})


def _of_8_bits(image: ImageFile) -> Image.Image:
    """The image; one of more bits, which is grey, scaled to 8."""
    if not image.mode.startswith("I"):
        return image
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    top = 2 ** tags.get(ExifTags.Base.BitsPerSample, (16,))[0] - 1
    values = np.asarray(image).astype(np.int64)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # 0 is white
        values = top - values
    return Image.fromarray(((values * 255 + top // 2) // top).astype(np.uint8))


def _refuse_unbounded(file: Path, image: ImageFile) -> None:
    """DataError for numbers of which no file says what is white: of 32 bits, signed, or floats."""
    whole = image.mode.startswith("I;16") and image.format in ("PNG", "TIFF", "JPEG2000")
    whole = whole or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if image.mode.startswith(("I", "F")) and not whole:
        raise DataError(
            f"{file} has pixels of mode {image.mode}, without a white; convert it to 8 or 16 bits"
        )


@contextmanager
def _opened(file: Path) -> Iterator[ImageFile]:
    try:
        with open(file, "rb") as stream, Image.open(stream) as image:
            if image.format == "PNG":
                _refuse_cut_off(file, stream)
            _refuse_unbounded(file, image)
            yield image
    except UnidentifiedImageError:
        raise DataError(f"{file} is no image; replace or delete it") from None
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file} is damaged ({reason}); replace or delete it") from None


def _refuse_cut_off(file: Path, stream: BinaryIO) -> None:
    """OSError when the PNG lacks its end, which Pillow does not miss; `stream` stays in place."""
    position = stream.tell()
    stream.seek(max(0, file.stat().st_size - 12))
    if b"IEND" not in stream.read():  # damaged, or bytes follow the end: let Pillow walk it
        with Image.open(file) as image:
            image.verify()
    stream.seek(position)
