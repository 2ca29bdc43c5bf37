"""One image file: its size, and its pixels as 8 bits, upright, whatever its format holds."""

from __future__ import annotations

import re
import stat
import struct
import warnings
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

from prunekit.errors import DataError, out_of_memory

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""How the name of an image file ends, in letters of any case, as torchvision's ImageFolder asks."""

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
"""What such a file may hold, by Pillow's names: no other decoder is started, whatever is inside."""

PIXELS = 89_478_485
"""Pixels of a file at most, a quarter of a gigabyte in RGB: Pillow warns of a bomb above it."""

STRIP = 2**22
"""Pixels that are converted at once."""

MODES: Mapping[int, str] = {1: "L", 3: "RGB"}
"""Channels -> what Pillow calls them."""

DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError),
    *(struct.error, zlib.error),
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

TEXT_LIMIT = re.compile("too large for PngImagePlugin|[Tt]oo much memory used in text chunks")
"""What Pillow says of a sound PNG whose texts are too long for it."""


class BadImage(DataError):
    """A file that holds no image that can be read, whoever reads it, wherever; names the file."""

    def __init__(self, file: Path, reason: str, cure: str = "replace or delete it") -> None:
        self.file, self.reason = file, reason
        super().__init__(f"{file} {reason}; {cure}")


def check_file(file: Path) -> None:
    """BadImage unless it is named as an image file and holds bytes; nothing is opened.

    DataError where the machine does not let it be looked at.
    """
    if not file.name.lower().endswith(SUFFIXES):
        raise BadImage(
            file, f"is no image file: its name ends in none of {', '.join(SUFFIXES)}", "delete it"
        )
    try:
        told = file.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and file.is_symlink():
            raise BadImage(file, "is a link to nothing") from None
        raise DataError(f"{file} cannot be read ({error.strerror}); see to it") from None
    if not stat.S_ISREG(told.st_mode):
        raise BadImage(file, "is no regular file")
    if told.st_size == 0:
        raise BadImage(file, "is empty (0 bytes)")


def read_image(file: Path, channels: int = 3) -> Tensor:
    """uint8 (channels, height, width), turned as its EXIF orientation says; of several, the first.

    Grey values of 16 bits are scaled to 8 by their range: v / 257, rounded. It takes the memory of
    a few results. Raises BadImage naming the file when it is no whole image, has more than `PIXELS`
    or numbers without a range; DataError when the machine does not let it be read.
    """
    with _opened(file) as image:
        image.load()
        image.info.pop("transparency", None)  # no colour depends on it; Pillow would warn
        turn = TURNS.get(_orientation(image))
        upright = image if turn is None else image.transpose(turn)
        width, height = upright.size
        pixels = np.empty((height, width, channels), np.uint8)
        rows = max(1, STRIP // width)
        for top in range(0, height, rows):
            end = min(top + rows, height)
            strip = upright if rows >= height else upright.crop((0, top, width, end))
            shown = _of_8_bits(strip, image).convert(MODES[channels])
            pixels[top:end] = np.asarray(shown).reshape(-1, width, channels)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def image_size(file: Path) -> tuple[int, int]:
    """(height, width) of what `read_image` gives, from the header where that says it.

    Raises BadImage naming the file when it is no image, or one of more than `PIXELS`; DataError
    when the machine does not let it be read.
    """
    with _opened(file) as image:
        if _turned_by_pillow(image) or _tells_more_at_its_end(image) or _lacks_end(image):
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


def _lacks_end(image: ImageFile) -> bool:
    """Whether a JPEG may be cut off: its last bytes do not say that it ends."""
    stream = image.fp
    if image.format != "JPEG" or stream is None:
        return False
    position = stream.tell()
    stream.seek(max(0, stream.seek(0, 2) - 64))
    last = stream.read()
    stream.seek(position)
    return b"\xff\xd9" not in last


def _of_8_bits(image: Image.Image, whole: ImageFile) -> Image.Image:
    """The image, a strip of the `whole`; one of more bits, which is grey, scaled to 8."""
    if not image.mode.startswith("I"):
        return image
    tags = getattr(whole, "tag_v2", {})  # of a TIFF
    top = 2 ** tags.get(ExifTags.Base.BitsPerSample, (16,))[0] - 1
    values = np.asarray(image).astype(np.int64)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # 0 is white
        values = top - values
    return Image.fromarray(((values * 255 + top // 2) // top).astype(np.uint8))


def _refuse_unbounded(file: Path, image: ImageFile) -> None:
    """BadImage for numbers of which no file says what is white: of 32 bits, signed, or floats."""
    whole = image.mode.startswith("I;16") and image.format in ("PNG", "TIFF", "JPEG2000")
    whole = whole or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if image.mode.startswith(("I", "F")) and not whole:
        raise BadImage(
            file, f"has pixels of mode {image.mode}, without a white", "convert it to 8 or 16 bits"
        )


def _refuse_size(file: Path, image: ImageFile) -> None:
    """BadImage for an image of no pixel, or of more than `PIXELS`."""
    width, height = image.size
    if not 0 < width * height <= PIXELS:
        raise too_large(file, f"has {width} x {height} pixels")


def too_large(file: Path, reason: str) -> BadImage:
    """What is raised for such a file."""
    return BadImage(file, f"{reason}, and 1 to {PIXELS:,} are read", "resize or delete it")


@contextmanager
def _opened(file: Path) -> Iterator[ImageFile]:
    """The image in a file, its size known and no pixel decoded; Pillow's warnings are kept in."""
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            open(file, "rb") as stream,
            Image.open(stream, formats=FORMATS) as image,
        ):
            _refuse_size(file, image)
            if image.format == "PNG":
                _refuse_cut_off(file, stream)
            _refuse_unbounded(file, image)
            yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise BadImage(file, f"is no image of a kind that is read ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise too_large(file, f"has more than {2 * PIXELS:,} pixels") from None
    except DAMAGE as error:
        raise _meant(file, error) from None


def _meant(file: Path, error: Exception) -> DataError | MemoryError:
    """What an error while reading is: no memory, a fault of the machine's, or a damaged file."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if out_of_memory(error) is not None:
        return MemoryError(f"{file}: {reason}")
    if isinstance(error, OSError) and error.errno is not None:
        return DataError(f"{file} cannot be read ({error.strerror}); see to it")
    if TEXT_LIMIT.search(reason):
        more = "holds more compressed text, or a larger colour profile, than Pillow unpacks"
        return BadImage(file, f"{more} ({reason})", "save it without")
    return BadImage(file, f"is damaged ({reason})")


def _refuse_cut_off(file: Path, stream: BinaryIO) -> None:
    """OSError when the PNG lacks its end, which Pillow does not miss; `stream` stays in place."""
    position = stream.tell()
    stream.seek(max(0, file.stat().st_size - 12))
    if b"IEND" not in stream.read():  # damaged, or bytes follow the end: let Pillow walk it
        with Image.open(file, formats=FORMATS) as image:
            image.verify()
    stream.seek(position)
