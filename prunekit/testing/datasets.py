"""What every dataset must do; each check's docstring is a sentence of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from prunekit.contracts import Dataset
from prunekit.testing import options, tiny

LOOKED_AT = 16
"""How many examples of a split are looked at where images stream from disk."""


def loaded(dataset: Dataset, global_seed: int = 0) -> Any:
    """The data, with the global generators seeded and restored."""
    with tiny.global_chance(global_seed):
        return dataset.load()


def splits(data: Any) -> Iterator[tuple[str, Any]]:
    """(name, split) of each split there is."""
    for name in ("train", "validation", "test"):
        split = getattr(data, name, None)
        if split is not None:
            yield name, split


def images_of(split: Any) -> list[Tensor]:
    """The images of a split, or its first few where they stream from disk."""
    if split.images is not None:
        return list(split.images)
    return [split.stream[index] for index in range(min(LOOKED_AT, len(split.labels)))]


def holds_tokens(data: Any) -> bool:
    """Whether examples are tokens: integers other than uint8, in rows of one length."""
    images = data.train.images
    integers = images is not None and not images.is_floating_point()
    return integers and images.dtype != torch.uint8


def check_images_are_uint8(dataset: Dataset) -> None:
    """An image is uint8 (channels, height, width), tokens are integers (length,), as stated."""
    data = loaded(dataset)
    for name, split in splits(data):
        if holds_tokens(data):
            found = tuple(split.images.shape[1:])
            assert found == tuple(data.input_shape), f"{name} rows are {found}, not the input shape"
            assert not split.images.is_floating_point(), f"{name} tokens are no integers"
            continue
        for image in images_of(split):
            assert image.dtype == torch.uint8, f"{name} images are {image.dtype}, expected uint8"
            assert image.ndim == 3, (
                f"{name} images have {image.ndim} dimensions, expected (C, H, W)"
            )
            right = split.images is None or tuple(image.shape) == tuple(data.input_shape)
            assert right, f"{name} images are {tuple(image.shape)}, stated {data.input_shape}"


def check_labels_are_classes(dataset: Dataset) -> None:
    """Labels are int64 in [0, classes), one for each image."""
    data = loaded(dataset)
    for name, split in splits(data):
        labels = split.labels
        assert labels.dtype == torch.int64, f"{name} labels are {labels.dtype}, expected int64"
        count = len(split.images if split.images is not None else split.stream)
        assert labels.shape == (count,), f"{name}: {tuple(labels.shape)} labels, {count} images"
        inside = ((labels >= 0) & (labels < data.classes)).all()
        assert inside, f"{name} labels leave [0, {data.classes})"


def check_train_and_test_have_examples(dataset: Dataset) -> None:
    """No split is empty, and training holds at least two classes."""
    data = loaded(dataset)
    for name, split in splits(data):
        assert len(split.labels), f"the {name} split is empty"
    assert len(data.train.labels.unique()) > 1, "the training set holds a single class"


def check_statistics_fit_the_channels(dataset: Dataset) -> None:
    """One mean in [0, 1] and one standard deviation in (0, 1] a channel; none for tokens."""
    data = loaded(dataset)
    channels = 0 if holds_tokens(data) else data.input_shape[0]
    found = len(data.mean), len(data.std)
    assert found == (channels, channels), f"{found} means and stds for {channels} channels"
    assert all(0 <= value <= 1 for value in data.mean), f"means leave [0, 1]: {data.mean}"
    assert all(0 < value <= 1 for value in data.std), f"stds leave (0, 1]: {data.std}"


def check_splits_share_no_image(dataset: Dataset) -> None:
    """At most one test image in a hundred is found, byte by byte, in the training set."""
    data = loaded(dataset)
    known = {image.numpy().tobytes() for image in images_of(data.train)}
    test = [image.numpy().tobytes() for image in images_of(data.test)]
    shared = sum(image in known for image in test)
    assert shared <= len(test) / 100, f"{shared} of {len(test)} test images are training images"


def check_two_loads_are_equal(dataset: Dataset) -> None:
    """Two loads give the same images, labels and splits, whatever the global generators."""
    first, second = loaded(dataset, global_seed=1), loaded(dataset, global_seed=2)
    for (name, one), (_, other) in zip(splits(first), splits(second)):
        assert tiny.same(one.labels, other.labels), f"{name} labels differ between two loads"
        pairs = zip(images_of(one), images_of(other))
        assert all(tiny.same(a, b) for a, b in pairs), f"{name} images differ between two loads"


def check_global_generators_are_untouched(dataset: Dataset) -> None:
    """The global generators of torch, NumPy and Python stand where they stood."""
    with tiny.chance_unmoved("loading moved a global generator"):
        dataset.load()


CHECKS = (
    check_images_are_uint8,
    check_labels_are_classes,
    check_train_and_test_have_examples,
    check_statistics_fit_the_channels,
    check_splits_share_no_image,
    check_two_loads_are_equal,
    check_global_generators_are_untouched,
    *options.CHECKS,
)
