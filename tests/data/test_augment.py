"""Augmentation: whole batches, a few random numbers for each example."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as V

from prunekit.data.augment import (
    AUGMENTS,
    crop_boxes,
    flip,
    flip_crop,
    pad_resized_crop,
    resampling,
)
from prunekit.draws.chance import generator

IMAGES = torch.randint(256, (64, 3, 8, 8), generator=generator(0, "images"), dtype=torch.uint8)


@pytest.mark.parametrize("name", AUGMENTS)
def test_an_augmentation_keeps_the_shape_and_is_a_function_of_its_generator(name):
    first, again, other = (AUGMENTS[name](IMAGES, generator(seed)) for seed in (1, 1, 2))
    assert first.shape == IMAGES.shape
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "none")


def test_flip_mirrors_about_half_of_the_images_and_leaves_the_others():
    flipped = flip(IMAGES, generator(0))
    mirrored = (flipped == IMAGES.flip(-1)).flatten(1).all(1)
    same = (flipped == IMAGES).flatten(1).all(1)
    assert bool((mirrored ^ same).all())
    assert 16 < int(mirrored.sum()) < 48


def test_flip_crop_is_a_window_of_the_padded_image_or_its_mirror_image():
    windows = {
        (top, left, mirrored): torch.nn.functional.pad(IMAGES[0], (4,) * 4)[
            :, top : top + 8, left : left + 8
        ].flip([-1] if mirrored else [])
        for top in range(9)
        for left in range(9)
        for mirrored in (False, True)
    }
    crops = flip_crop(IMAGES[:1].expand(2000, -1, -1, -1), generator(0))
    seen = {
        next(key for key, window in windows.items() if torch.equal(crop, window))
        for crop in crops[:200]
    }
    assert len(seen) > 100
    assert {top for top, _, _ in seen} == set(range(9))


def test_pad_resized_crop_resizes_a_box_of_the_padded_image_as_torchvision_does():
    count, (height, width) = len(IMAGES), IMAGES.shape[-2:]
    crops = pad_resized_crop(IMAGES, generator(3))
    rng = generator(3)
    boxes = crop_boxes(count, height + 8, width + 8, rng).tolist()
    mirrored = torch.randint(2, (count,), generator=rng)
    for image, crop, box, mirror in zip(IMAGES, crops, boxes, mirrored):
        padded = V.pad(image.float(), [4])
        expected = V.resized_crop(padded, *box, [height, width], antialias=True)
        expected = V.horizontal_flip(expected) if mirror else expected
        torch.testing.assert_close(crop, expected, atol=1e-3, rtol=1e-5)


def test_resampling_keeps_a_box_of_the_wanted_size_as_it_is():
    weights = resampling(torch.tensor([2.0]), torch.tensor([3.0]), out=3, size=6)
    assert torch.equal(weights[0], torch.eye(6)[2:5])


@settings(max_examples=50)
@given(height=st.integers(1, 50), width=st.integers(1, 50), seed=st.integers(0, 99))
def test_a_crop_box_lies_within_the_image(height, width, seed):
    top, left, tall, wide = crop_boxes(20, height, width, generator(seed)).unbind(1)
    assert bool(((top >= 0) & (tall >= 1) & (top + tall <= height)).all())
    assert bool(((left >= 0) & (wide >= 1) & (left + wide <= width)).all())


def test_the_area_of_crop_boxes_is_as_torchvision_draws_it():
    from torchvision.transforms.v2 import RandomResizedCrop

    boxes = crop_boxes(4000, 40, 40, generator(0)).double()
    draw = RandomResizedCrop(32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.zeros(1, 40, 40)
        theirs = [draw.make_params([image]) for _ in range(2000)]
    for ours, name in zip(boxes.unbind(1), ("top", "left", "height", "width")):
        expected = torch.tensor([float(params[name]) for params in theirs])
        assert abs(ours.mean() - expected.mean()) < 5 * expected.std() / 2000**0.5
        assert abs(ours.std() - expected.std()) < 0.1 * expected.std()


def test_a_strip_that_no_draw_fits_is_cut_to_its_largest_central_box():
    boxes = crop_boxes(50, 400, 3, generator(0))
    assert [198, 0, 4, 3] in boxes.tolist()
