"""Fitting images of any size to one."""

from __future__ import annotations

import torch
from torchvision.transforms.v2 import functional as V

from prunekit.data.streams import Resized, centre, resize, resized_crop
from prunekit.draws.chance import generator

IMAGE = torch.randint(256, (3, 70, 50), generator=generator(0)).to(torch.uint8)


def test_the_centre_is_that_of_the_usual_resize_and_crop():
    expected = V.center_crop(V.resize(IMAGE, [32], antialias=True), [28, 28])
    assert torch.equal(centre(IMAGE, (28, 28), generator(0)), expected)


def test_a_resized_crop_of_a_flat_image_is_flat_and_of_the_wanted_size():
    flat = torch.full((1, 9, 7), 200, dtype=torch.uint8)
    assert torch.equal(
        resized_crop(flat, (4, 4), generator(0)), torch.full((1, 4, 4), 200, dtype=torch.uint8)
    )


def test_a_resized_stream_ignores_proportions():
    assert torch.equal(Resized([IMAGE], (8, 8))[0], V.resize(IMAGE, [8, 8], antialias=True))


def test_images_are_resized_alone_as_in_a_batch():
    assert torch.equal(resize(IMAGE[None], (8, 8))[0], resize(IMAGE, (8, 8)))
