"""Image files that are bombs, something else inside, or no files: one line, and no decoder."""

from __future__ import annotations

import os
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prunekit.data import decoding
from prunekit.data.decoding import BadImage, check_file, image_size, read_image
from prunekit.errors import DataError
from tests.data.test_decoding import chunk


def bomb(file: Path, width: int, height: int, bits: int = 8, colour: int = 2) -> Path:
    """A PNG of so many pixels, none of which is there."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return file


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((10_000, 10_000), "has 10000 x 10000 pixels"),
        ((89_478_486, 1), "has 89478486 x 1 pixels"),
        ((20_000, 20_000), "has more than 178,956,970 pixels"),
    ],
)
def test_a_bomb_is_refused_by_its_header_in_one_line(
    tmp_path: Path, size: tuple[int, int], said: str
) -> None:
    file = bomb(tmp_path / "image.png", *size)
    for read in (image_size, read_image):
        tracemalloc.start()
        with warnings.catch_warnings(action="error"), pytest.raises(BadImage) as caught:
            read(file)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        line = f"{file} {said}, and 1 to 89,478,485 are read; resize or delete it"
        assert str(caught.value) == line
        assert peak < 2**20


def test_as_many_pixels_as_pillow_reads_without_a_warning_are_read() -> None:
    assert decoding.PIXELS == Image.MAX_IMAGE_PIXELS


def test_an_image_without_pixels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.ppm").write_bytes(b"P6 0 5 255 ")
    for read in (image_size, read_image):
        with pytest.raises(BadImage, match=r"image\.ppm "):
            read(tmp_path / "image.ppm")


@pytest.mark.parametrize("name", ["zTXt", "iTXt", "iCCP"])
def test_a_bomb_in_a_text_of_a_png_is_one_line(tmp_path: Path, name: str) -> None:
    file = bomb(tmp_path / "image.png", 4, 4)
    whole, text = file.read_bytes(), zlib.compress(bytes(8 * 2**20), 9)
    between = {"zTXt": b"k\0\0", "iTXt": b"k\0\1\0\0\0", "iCCP": b"k\0\0"}[name]
    file.write_bytes(whole[:33] + chunk(name.encode(), between + text) + whole[33:])
    for read in (image_size, read_image):
        with pytest.raises(BadImage, match=r"image\.png holds more compressed text") as caught:
            read(file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["eps", "gif", "ico", "tga", "pcx", "icns", "pdf", "jp2", "dds"])
def test_what_is_inside_starts_no_decoder_but_those_of_image_folders(
    tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "image.png"
    if kind == "pdf":
        file.write_bytes(b"%PDF-1.4\n")
    else:
        Image.new("RGB", (32, 32)).save(file, format={"jp2": "JPEG2000"}.get(kind, kind))
    for read in (image_size, read_image):
        with pytest.raises(BadImage, match=r"image\.png is no image of a kind that is read \(JPEG"):
            read(file)


def test_the_names_of_image_files_are_those_of_torchvision() -> None:
    folder = pytest.importorskip("torchvision.datasets.folder")
    assert set(decoding.SUFFIXES) == set(folder.IMG_EXTENSIONS)


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (4, 4), (100 * i, 0, 0)) for i in range(3)]
    file = tmp_path / f"image.{suffix}"
    frames[1].save(file, save_all=True, append_images=frames, lossless=True)
    assert image_size(file) == (4, 4)
    assert read_image(file)[:, 0, 0].tolist() == [100, 0, 0]


def test_a_large_image_is_converted_in_strips_to_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(2**16, size=(37, 23), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    colours = Image.fromarray((values[:36, :] % 256).astype(np.uint8).reshape(12, 23, 3))
    colours.quantize(16).save(tmp_path / "b.png", transparency=3)
    exif = colours.getexif()
    exif[0x0112] = 6
    colours.save(tmp_path / "c.webp", exif=exif, lossless=True)
    files = sorted(tmp_path.iterdir())
    whole = [read_image(file, channels) for file in files for channels in (1, 3)]
    monkeypatch.setattr(decoding, "STRIP", 100)
    strips = [read_image(file, channels) for file in files for channels in (1, 3)]
    assert all(map(torch.equal, whole, strips))
    assert whole[5].shape == (3, 23, 12)


def test_a_jpeg_that_is_cut_off_is_found_by_its_header(tmp_path: Path) -> None:
    file = tmp_path / "image.jpg"
    Image.effect_noise((200, 200), 50).save(file)
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(BadImage, match=r"image\.jpg is damaged"):
        image_size(file)


def test_what_is_no_file_is_told_without_opening_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("hello")
    for name, said in {
        "fifo.png": "is no regular file",
        "folder.png": "is no regular file",
        "link.png": "is a link to nothing",
        "loop.png": "cannot be read",
        "empty.png": "is empty (0 bytes)",
        "notes.txt": "is no image file: its name ends in none of .jpg",
    }.items():
        with pytest.raises(DataError) as caught:
            check_file(tmp_path / name)
        assert f"{name} {said}" in str(caught.value)


def test_a_fault_of_the_machine_is_none_of_the_files(tmp_path: Path) -> None:
    file = tmp_path / "gone.png"
    for read in (image_size, read_image):
        with pytest.raises(DataError, match=r"gone\.png cannot be read \(No such file") as caught:
            read(file)
        assert not isinstance(caught.value, BadImage)
