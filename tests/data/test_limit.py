"""Fewer training examples: how many of each class, which, and what stays whole."""

from __future__ import annotations

import pytest
import torch

from prunekit.data.limit import limited
from prunekit.data.splits import Split, prepare
from prunekit.errors import SpecError
from prunekit.spec.sections import DataOptions
from tests.data.test_splits import data, streamed


def split_of(labels):
    """Example i holds the value i in its one pixel."""
    values = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    return Split(values, torch.as_tensor(labels))


def chosen(split, limit, seed=0):
    return limited(split, limit, seed).images.flatten().tolist()


@pytest.mark.parametrize("limit", range(1, 30))
def test_each_class_keeps_its_share_to_within_one_example(limit):
    left = limited(split_of([0] * 15 + [1] * 9 + [7] * 6), limit, seed=3).labels
    assert len(left) == limit
    for label, share in ((0, 0.5), (1, 0.3), (7, 0.2)):
        assert abs(int((left == label).sum()) - limit * share) < 1


def test_classes_of_one_size_stay_so():
    left = limited(split_of([0, 1, 2] * 20), 12, seed=1).labels
    assert left.bincount().tolist() == [4, 4, 4]


def test_more_examples_contain_the_fewer_in_the_order_of_the_split():
    split = split_of([0, 1] * 20)
    few, more = chosen(split, 7), chosen(split, 25)
    assert set(few) < set(more)
    assert few == sorted(few)


def test_which_examples_are_left_follows_from_the_seed():
    split = split_of([0, 1] * 20)
    assert chosen(split, 7) == chosen(split, 7)
    assert chosen(split, 7) != chosen(split, 7, seed=1)


def test_every_example_is_left_equally_often():
    split = split_of([0] * 6 + [1] * 6)
    counts = torch.zeros(12)
    for seed in range(600):
        counts[chosen(split, 4, seed)] += 1
    assert (counts - 200).abs().max() < 5 * (600 / 3 * 2 / 3) ** 0.5


@pytest.mark.parametrize("labels", [torch.rand(20), torch.zeros(20, 3)])
def test_labels_that_are_no_classes_leave_every_example_the_same_chance(labels):
    assert len(limited(split_of(labels), 5, seed=0).labels) == 5
    assert chosen(split_of(labels), 5) != list(range(5))


def test_validation_and_test_stay_as_they_are_without_a_limit():
    options = DataOptions(augment="none", validation=20)
    whole = prepare(data(train=100), options, seed=4)
    part = prepare(data(train=100), DataOptions(augment="none", validation=20, limit=9), seed=4)
    assert len(part.train) == 9
    assert torch.equal(part.validation.images, whole.validation.images)
    assert torch.equal(part.test.images, whole.test.images)
    assert set(part.train.images[:, 0, 0, 0].tolist()) < set(
        whole.train.images[:, 0, 0, 0].tolist()
    )
    assert (part.mean, part.std) == (whole.mean, whole.std)


def test_a_stream_is_limited_to_the_same_examples():
    stored = limited(data(train=30).train, 8, seed=2)
    read = limited(streamed(data(train=30)).train, 8, seed=2)
    assert [int(read.stream[i][0, 0, 0]) for i in range(8)] == stored.images[:, 0, 0, 0].tolist()
    assert torch.equal(read.labels, stored.labels)


@pytest.mark.parametrize("limit", [10, 11])
def test_a_limit_that_leaves_nothing_out_is_refused(limit):
    with pytest.raises(SpecError, match=f"data.limit = {limit} cannot act: there are 10 training"):
        limited(split_of([0, 1] * 5), limit, seed=0)
