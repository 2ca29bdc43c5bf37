"""Each dataset check catches the component that breaks it, and only that one."""

from __future__ import annotations

import types

import attrs
import pytest
import torch

from prunekit import testing
from prunekit.draws.chance import generator


def split(seed, count):
    rng = generator(seed)
    images = torch.randint(0, 256, (count, 3, 4, 4), generator=rng, dtype=torch.uint8)
    return types.SimpleNamespace(images=images, labels=torch.arange(count) % 2, stream=None)


@attrs.frozen
class Good:
    def load(self):
        return types.SimpleNamespace(
            train=split(0, 30), test=split(1, 10), validation=None, classes=2,
            input_shape=(3, 4, 4), mean=(0.5,) * 3, std=(0.25,) * 3,
        )  # fmt: skip


@attrs.frozen
class FloatImages(Good):
    def load(self):
        data = Good.load(self)
        data.test.images = data.test.images / 255
        return data


@attrs.frozen
class LabelsFromOne(Good):
    def load(self):
        data = Good.load(self)
        data.train.labels += 1
        return data


@attrs.frozen
class EmptyTest(Good):
    def load(self):
        data = Good.load(self)
        data.test = split(1, 0)
        return data


@attrs.frozen
class StatisticsOfBytes(Good):
    def load(self):
        data = Good.load(self)
        data.mean = (127.5,) * 3
        return data


@attrs.frozen
class TrainsOnTest(Good):
    def load(self):
        data = Good.load(self)
        data.test = split(0, 30)
        return data


@attrs.frozen
class OwnChance(Good):
    def load(self):
        data = Good.load(self)
        with torch.random.fork_rng(devices=[]):
            data.train.images = data.train.images[torch.randperm(30)]
        return data


@attrs.frozen
class DrawsFromTorch(Good):
    def load(self):
        torch.rand(3)
        return Good.load(self)


BROKEN = [
    (FloatImages(), "check_images_are_uint8"),
    (LabelsFromOne(), "check_labels_are_classes"),
    (EmptyTest(), "check_train_and_test_have_examples"),
    (StatisticsOfBytes(), "check_statistics_fit_the_channels"),
    (TrainsOnTest(), "check_splits_share_no_image"),
    (OwnChance(), "check_two_loads_are_equal"),
    (DrawsFromTorch(), "check_global_generators_are_untouched"),
]


def test_a_good_dataset_passes_every_check():
    assert testing.problems("dataset", Good()) == []


@pytest.mark.parametrize(("dataset", "check"), BROKEN, ids=lambda v: type(v).__name__)
def test_a_broken_dataset_fails_its_check_and_no_other(dataset, check):
    failed = [line.partition(":")[0] for line in testing.problems("dataset", dataset)]
    assert failed == [check]


def test_every_dataset_check_has_a_component_that_breaks_it():
    own = [c for c in testing.CHECKS["dataset"] if c.__module__ == "prunekit.testing.datasets"]
    assert {check for _, check in BROKEN} == {check.__name__ for check in own}
