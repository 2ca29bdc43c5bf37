"""Image files: found, checked and decoded before any training."""

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from prunekit.data import imagefiles
from prunekit.data.imagefiles import class_files, image_data, mean_and_std
from prunekit.data.splits import Split, prepare
from prunekit.errors import DataError, SpecError
from prunekit.spec.settings import DataSettings


def draw(file, size=(4, 6), value=0):
    """A PNG of `size` = (width, height), (value, 10, 250) in every pixel but the last."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, (value, 10, 250))
    image.putpixel((size[0] - 1, size[1] - 1), (1, 2, 3))
    image.save(file)
    return file


@pytest.fixture
def folder(tmp_path):
    for part in ("train", "test"):
        for number, name in enumerate(("cat", "ant")):
            for i in range(3):
                draw(tmp_path / part / name / f"{i}.png", value=10 * number + i)
    return tmp_path


def loaded(folder, **options):
    return image_data(class_files(folder / "train"), class_files(folder / "test"), **options)


def test_classes_and_files_are_in_sorted_order(folder):
    (folder / "train" / ".hidden").mkdir()
    for litter in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / "train" / "cat" / litter).touch()
    files = class_files(folder / "train")
    assert list(files) == ["ant", "cat"]
    assert [file.name for file in files["cat"]] == ["0.png", "1.png", "2.png"]


def test_a_small_set_lies_in_memory(folder):
    data = loaded(folder)
    assert data.class_names == ("ant", "cat")
    assert data.input_shape == (3, 6, 4)
    assert data.classes == 2
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.train.images[:, 0, 0, 0].tolist() == [10, 11, 12, 0, 1, 2]
    assert data.train.images[0, :, 5, 3].tolist() == [1, 2, 3]


def test_a_set_above_the_memory_limit_streams_the_same_images(folder):
    stored, read = loaded(folder), loaded(folder, memory=0.0)
    assert read.train.images is None
    assert not read.train.varied
    assert torch.equal(read.train.stream[4], stored.train.images[4])
    assert read.mean == pytest.approx(stored.mean)


def test_images_that_differ_in_size_are_streamed_and_leave_the_shape_open(folder):
    draw(folder / "test" / "ant" / "0.png", size=(7, 7))
    data = loaded(folder)
    assert data.input_shape == (3,)
    assert data.train.varied
    assert data.test.stream[0].shape == (3, 7, 7)
    small, large = folder / "train" / "ant" / "0.png", folder / "test" / "ant" / "0.png"
    assert data.sizes == f"{small} has 4 x 6 pixels, {large} has 7 x 7 pixels"
    with pytest.raises(SpecError, match=r"test/ant/0\.png has 7 x 7 pixels\); say with data\.size"):
        prepare(data, DataSettings("none", 0, 0, None, 0), 0)


def test_grey_images_have_one_channel(folder):
    assert loaded(folder, channels=1).input_shape == (1, 6, 4)


def test_mean_and_deviation_are_per_channel_in_units_of_white():
    pixels = torch.tensor([[0, 255], [51, 51]], dtype=torch.uint8).view(1, 2, 1, 2)
    mean, std = mean_and_std(Split(pixels, torch.zeros(1, dtype=torch.int64)))
    assert mean == pytest.approx((0.5, 0.2))
    assert std == pytest.approx((0.5, 1.0))  # a constant channel is not divided by 0


def test_a_class_that_a_split_lacks_is_named(folder):
    draw(folder / "train" / "dog" / "0.png")
    with pytest.raises(DataError, match="class 'dog' is missing from the test split"):
        loaded(folder)
    (folder / "train" / "dog").rename(folder / "test" / "dog")
    with pytest.raises(DataError, match="class 'dog' is missing from the train split"):
        loaded(folder)


def test_an_empty_class_and_an_empty_or_missing_split_are_named(folder):
    (folder / "train" / "eel").mkdir()
    with pytest.raises(DataError, match="eel has no images"):
        loaded(folder)
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="empty is empty"):
        class_files(folder / "empty")
    with pytest.raises(DataError, match="nowhere is no folder"):
        class_files(folder / "nowhere")


BROKEN = {
    "truncated": (lambda whole: whole[: len(whole) // 2], "is damaged"),
    "without its last bytes": (lambda whole: whole[:-16], "is damaged"),
    "of 0 bytes": (lambda whole: b"", r"is empty \(0 bytes\)"),
    "of text": (lambda whole: b"hello", "is no image"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_damaged_file_is_named_in_one_line(folder, kind):
    spoil, message = BROKEN[kind]
    file = folder / "test" / "cat" / "1.png"
    file.write_bytes(spoil(draw(file, size=(40, 60)).read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        loaded(folder)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_found_where_images_differ_in_size(folder):
    file = draw(folder / "train" / "cat" / "1.png", size=(50, 50))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"1\.png is damaged"):
        loaded(folder)


def test_bytes_after_the_end_of_a_png_do_no_harm(folder):
    file = folder / "train" / "cat" / "1.png"
    file.write_bytes(file.read_bytes() + b"a remark of 20 bytes")
    assert len(loaded(folder).train) == 6


def test_photos_on_their_side_are_counted_and_read_upright(folder):
    for file in sorted(folder.rglob("*.png")):
        turned = Image.open(file).transpose(Image.Transpose.ROTATE_90)
        turned.getexif()[0x0112] = 6  # shown a quarter to the right
        turned.save(file, exif=turned.getexif())
        assert turned.size == (6, 4)
    data = loaded(folder)
    assert data.input_shape == (3, 6, 4)
    assert data.train.images[0, :, 5, 3].tolist() == [1, 2, 3]
    assert torch.equal(loaded(folder, memory=0.0).train.stream[0], data.train.images[0])


def test_mean_and_deviation_are_of_16_bit_values_as_the_network_sees_them(folder):
    for file in sorted((folder / "train").rglob("*.png")):
        Image.fromarray(np.array([[0, 65535]] * 6, np.uint16)).save(file)
    data = loaded(folder, channels=1)
    assert (data.mean, data.std) == ((0.5,), (0.5,))


def spoil(file):
    """Cut a PNG in the middle of its pixels."""
    whole = draw(file, size=(4, 6)).read_bytes()
    file.write_bytes(whole[:-20])
    return file


def test_a_file_that_no_image_folder_reads_is_refused_by_name(folder):
    (folder / "train" / "cat" / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt is no image file: its name ends in none of"):
        loaded(folder)


@pytest.mark.parametrize("input_shape", [None, (3, 6, 4)])
def test_what_is_no_file_is_refused_and_not_overlooked(folder, input_shape):
    link = folder / "train" / "cat" / "x.png"
    link.symlink_to("nowhere")
    with pytest.raises(DataError, match=r"x\.png is a link to nothing"):
        loaded(folder, input_shape=input_shape, mean=(0.5,) * 3, std=(0.5,) * 3)
    link.unlink()
    os.mkfifo(link)
    with pytest.raises(DataError, match=r"x\.png is no regular file"):
        loaded(folder, input_shape=input_shape, mean=(0.5,) * 3, std=(0.5,) * 3)


def test_a_folder_named_as_an_image_is_gone_into(folder):
    draw(folder / "train" / "cat" / "x.png" / "3.png")
    assert len(loaded(folder).train) == 7


def test_names_of_any_bytes_are_read_and_printed_in_one_line(folder):
    cat = os.fsencode(folder / "train" / "cat")
    os.rename(cat + b"/1.png", cat + b"/\xff\x1b[31m\n.png")
    assert len(loaded(folder).train) == 6
    with open(cat + b"/\xff\x1b[31m\n.png", "wb") as file:
        file.write(b"hello")
    with pytest.raises(DataError) as caught:
        loaded(folder)
    assert r"\udcff\x1b[31m" in str(caught.value)
    assert str(caught.value).isprintable()


def test_bad_files_are_left_out_and_named_in_one_line(folder):
    bad = [spoil(folder / "train" / "ant" / "1.png"), folder / "test" / "cat" / "a.txt"]
    bad[1].write_text("hello")
    with pytest.warns(UserWarning, match="2 of 13 image files cannot be decoded") as caught:
        data = loaded(folder, skip_bad=2)
    (line,) = [str(warning.message) for warning in caught]
    assert "as data.skip_bad = 2 allows" in line
    assert f"{bad[0]} is damaged" in line
    assert f"{bad[1]} is no image file" in line
    assert data.bad_files == tuple(sorted(map(str, bad)))
    assert data.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert data.train.images[:, 0, 0, 0].tolist() == [10, 12, 0, 1, 2]


def test_without_bad_files_nothing_is_said_and_nothing_changes(folder):
    plain, careful = loaded(folder), loaded(folder, skip_bad=5)
    assert careful.bad_files == ()
    assert torch.equal(plain.train.images, careful.train.images)
    assert plain.mean == careful.mean


@pytest.mark.parametrize(
    "options", [{"memory": 0.0}, {"input_shape": (3, 6, 4)}, {"memory": 0.0, "channels": 1}]
)
@pytest.mark.filterwarnings("ignore:1 of 12 image files")
def test_a_set_that_streams_leaves_the_same_files_out(folder, options):
    for file in (folder / "train" / "cat").iterdir():
        image = Image.open(file).convert("RGB")
        image.resize((40, 60)).save(file)
    bad = spoil(folder / "train" / "ant" / "2.png")
    data = loaded(folder, skip_bad=1, **options)
    assert data.bad_files == (str(bad),)
    assert data.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert [file.name for file in data.train.stream.files[:2]] == ["0.png", "1.png"]


@pytest.mark.filterwarnings("ignore:1 of 12 image files")
def test_images_of_many_sizes_leave_the_same_files_out(folder):
    draw(folder / "train" / "cat" / "0.png", size=(7, 7))
    bad = spoil(folder / "train" / "ant" / "2.png")
    data = loaded(folder, skip_bad=1)
    assert data.bad_files == (str(bad),)
    assert [image.shape[-1] for image in data.train.stream] == [4, 4, 7, 4, 4]


def test_more_bad_files_than_allowed_are_refused_with_their_number(folder):
    for number in range(3):
        spoil(folder / "train" / "cat" / f"{number}.png")
    (folder / "test" / "ant" / "0.png").write_bytes(b"")
    (folder / "test" / "ant" / "1.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        loaded(folder, skip_bad=4)
    line = str(caught.value)
    assert line.startswith("5 of 12 image files cannot be decoded and data.skip_bad is 4: ")
    assert f"{folder}/test/ant/0.png is empty (0 bytes), {folder}/test/ant/1.png is empty" in line
    assert "and 2 more; replace or delete them, or set data.skip_bad to 5" in line


@pytest.mark.filterwarnings("ignore:3 of 12 image files")
def test_a_class_without_an_image_left_is_refused(folder):
    for number in range(3):
        spoil(folder / "test" / "cat" / f"{number}.png")
    with pytest.raises(DataError, match=r"no image of class 'cat' in the test split .*cat/0\.png"):
        loaded(folder, skip_bad=3)


def test_a_fault_of_the_machine_is_not_left_out(folder):
    loop = folder / "train" / "cat" / "x.png"
    loop.symlink_to(loop)
    with pytest.raises(DataError, match=r"x\.png cannot be read"):
        loaded(folder, skip_bad=3)


def test_a_bomb_among_images_takes_no_memory(folder):
    file = folder / "train" / "cat" / "1.png"
    Image.new("1", (12_000, 12_000)).save(file)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"cat/1\.png has 12000 x 12000 pixels"):
        loaded(folder)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_mean_and_deviation_of_a_large_image_are_measured_in_rows(monkeypatch):
    pixels = torch.randint(256, (2, 3, 9, 5), dtype=torch.uint8)
    split = Split(pixels, torch.zeros(2, dtype=torch.int64))
    whole = mean_and_std(split)
    monkeypatch.setattr(imagefiles, "MEASURED", 60)  # 2 rows of 30 values
    rows = mean_and_std(split)
    assert rows[0] == pytest.approx(whole[0], rel=1e-14)
    assert rows[1] == pytest.approx(whole[1], rel=1e-14)
