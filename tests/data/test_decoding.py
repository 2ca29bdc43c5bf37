"""One image file: upright, and as 8 bits, whatever its format holds."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin, TiffImagePlugin

from prunekit.data.decoding import image_size, read_image
from prunekit.errors import DataError

SEEN = torch.arange(6, dtype=torch.uint8).view(2, 3) * 40  # 3 pixels wide and 2 high
LYING = {  # orientation -> how a camera that was held so stores what was SEEN
    1: SEEN,
    2: SEEN.flip(1),
    3: SEEN.flip(0, 1),
    4: SEEN.flip(0),
    5: SEEN.T,
    6: SEEN.T.flip(0),
    7: SEEN.T.flip(0, 1),
    8: SEEN.T.flip(1),
}


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "jpg"])
@pytest.mark.parametrize("orientation", LYING)
def test_an_image_is_turned_as_its_orientation_says(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    stored = LYING[orientation].repeat_interleave(16, 0).repeat_interleave(16, 1)
    image, file = Image.fromarray(stored.numpy()), tmp_path / f"image.{suffix}"
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(file, exif=exif, lossless=True, quality=100)
    assert image_size(file) == (32, 48)
    off = read_image(file, 1)[0, 8::16, 8::16].int() - SEEN.int()
    assert off.abs().max() <= (2 if suffix == "jpg" else 0)


def chunk(kind: bytes, content: bytes) -> bytes:
    whole = kind + content
    return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))


def test_an_orientation_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    image, file = Image.fromarray(LYING[6].numpy()), tmp_path / "image.png"
    image.save(file)
    exif = image.getexif()
    exif[0x0112] = 6
    whole = file.read_bytes()
    file.write_bytes(whole[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + whole[-12:])
    assert image_size(file) == (2, 3)
    assert torch.equal(read_image(file, 1)[0], SEEN)


@pytest.mark.parametrize("exif", [b"Exif\0\0nothing", b"Exif\0\0MM\0*\0\0\0\x08\0\xff", b""])
def test_exif_that_nobody_can_read_leaves_an_image_as_it_is(tmp_path: Path, exif: bytes) -> None:
    file = tmp_path / "image.png"
    Image.fromarray(SEEN.numpy()).save(file, exif=exif)
    assert image_size(file) == (2, 3)
    assert torch.equal(read_image(file, 1)[0], SEEN)


DEEP = np.array([[0, 128, 129, 255, 256, 257, 32767, 32768, 65407, 65535]], np.uint16)
DEEP_AS_8 = [0, 0, 1, 1, 1, 1, 127, 128, 255, 255]  # v / 257, rounded


def test_grey_of_16_bits_is_scaled_by_its_range(tmp_path: Path) -> None:
    big = Image.frombytes("I;16B", (10, 1), DEEP.astype(">u2").tobytes())
    for name, image in (
        ("a.png", Image.fromarray(DEEP)),
        ("b.pgm", Image.fromarray(DEEP)),
        ("c.tiff", Image.fromarray(DEEP)),
        ("d.tiff", big),
    ):
        image.save(tmp_path / name)
        assert read_image(tmp_path / name, 1)[0, 0].tolist() == DEEP_AS_8, name
        assert read_image(tmp_path / name)[:, 0].tolist() == [DEEP_AS_8] * 3, name


def tiff(file: Path, values: np.ndarray, **tags: int) -> Path:
    """A TIFF of one row of 16-bit words that says of itself what `tags` say."""
    names = {"bits": 258, "white": 262, "signed": 339}
    info = TiffImagePlugin.ImageFileDirectory_v2()
    Image.fromarray(values).save(file, tiffinfo=info)
    content = bytearray(file.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    (count,) = struct.unpack_from("<H", content, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        for name, value in tags.items():
            if struct.unpack_from("<H", content, at)[0] == names[name]:
                struct.pack_into("<H", content, at + 8, value)
    file.write_bytes(content)
    return file


def test_a_tiff_whose_zero_is_white_is_read_so(tmp_path: Path) -> None:
    file = tiff(tmp_path / "image.tiff", np.array([[0, 257, 65535]], np.uint16), white=0)
    assert read_image(file, 1)[0, 0].tolist() == [255, 254, 0]


def png16(file: Path, colour: int, row: list[tuple[int, ...]]) -> Path:
    """A PNG of one row of 16-bit pixels; colour: 2 = RGB, 4 = grey and alpha, 6 = RGBA."""
    size = struct.pack(">IIBBBBB", len(row), 1, 16, colour, 0, 0, 0)
    content = b"\0" + b"".join(struct.pack(">H", value) for pixel in row for value in pixel)
    parts = (b"IHDR", size), (b"IDAT", zlib.compress(content)), (b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return file


def test_colours_of_16_bits_lose_their_low_byte(tmp_path: Path) -> None:
    rgb = png16(tmp_path / "a.png", 2, [(0, 0x1234, 0xFFFF), (0x80FF, 0x7F00, 1)])
    assert read_image(rgb)[:, 0].tolist() == [[0, 0x80], [0x12, 0x7F], [0xFF, 0]]
    grey = png16(tmp_path / "b.png", 4, [(0x1234, 0xFFFF)])
    assert read_image(grey, 1).flatten().tolist() == [0x12]
    rgba = png16(tmp_path / "c.png", 6, [(0x1234, 0, 0xFFFF, 0xFFFF)])
    assert read_image(rgba).flatten().tolist() == [0x12, 0, 0xFF]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_without_a_white_are_refused_in_one_line(tmp_path: Path, kind: type) -> None:
    Image.fromarray(np.zeros((6, 4), kind)).save(file := tmp_path / "image.tiff")
    for read in (read_image, image_size):
        with pytest.raises(DataError, match="convert it to 8 or 16 bits") as caught:
            read(file)
        assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(
    ("mode", "pixel", "rgb", "suffix"),
    [
        ("1", 1, (255, 255, 255), "png"),
        ("L", 7, (7, 7, 7), "png"),
        ("LA", (7, 0), (7, 7, 7), "png"),
        ("RGBA", (1, 2, 3, 0), (1, 2, 3), "png"),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0), "tiff"),
    ],
)
def test_images_of_other_modes_keep_their_colours(
    tmp_path: Path, mode: str, pixel: Any, rgb: tuple[int, ...], suffix: str
) -> None:
    Image.new(mode, (3, 2), pixel).save(file := tmp_path / f"image.{suffix}")
    assert read_image(file)[:, 1, 2].tolist() == list(rgb)


def test_a_palette_keeps_its_colours_with_transparency_or_without(tmp_path: Path) -> None:
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    for name, transparency in (("a.png", None), ("b.png", 1), ("c.png", b"\0\x80")):
        if transparency is not None:
            image.info["transparency"] = transparency
        image.save(tmp_path / name)
        assert read_image(tmp_path / name)[:, 1, 2].tolist() == [10, 20, 30]


def test_a_sound_image_with_more_text_than_is_unpacked_is_not_called_damaged(
    tmp_path: Path,
) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "a" * 2**21, zip=True)
    Image.new("RGB", (4, 6)).save(tmp_path / "0.png", pnginfo=text)
    with pytest.raises(DataError, match=r"0\.png holds more compressed text.*; save it without$"):
        read_image(tmp_path / "0.png")


def test_random_damage_gives_an_image_or_one_line(tmp_path: Path) -> None:
    chance = random.Random(0)
    pixels = np.random.default_rng(0).integers(256, size=(20, 20, 3), dtype=np.uint8)
    for suffix in ("png", "jpg", "bmp", "ppm", "webp", "tiff"):
        Image.fromarray(pixels).save(file := tmp_path / f"image.{suffix}")
        whole = file.read_bytes()
        for _ in range(30):
            spoilt = bytearray(whole)
            spoilt[chance.randrange(min(len(spoilt), 100))] ^= 1 << chance.randrange(8)
            file.write_bytes(spoilt[: chance.choice([len(spoilt), chance.randrange(len(spoilt))])])
            problem = str(file)
            try:
                assert image_size(file)
                assert read_image(file).shape[0] == 3
            except DataError as error:
                problem = str(error)
            assert problem.startswith(str(file))
