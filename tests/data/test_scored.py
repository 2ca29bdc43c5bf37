"""The batches that scorers see."""

from __future__ import annotations

import typing

import pytest
import torch

from prunekit.data.scored import scored_batches
from prunekit.data.splits import Batches, Data, Split
from prunekit.data.synthetic import sparse_normal
from prunekit.errors import SpecError
from prunekit.spec.sections import DataSource

IMAGES = torch.arange(20, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()
SPLIT = Split(IMAGES, torch.arange(20) % 5)
DATA = Data(
    train=SPLIT,
    test=SPLIT,
    classes=5,
    input_shape=(3, 4, 4),
    mean=(0.0, 0.0, 0.0),
    std=(1 / 255, 1 / 255, 1 / 255),
)
SOURCES = typing.get_args(DataSource)


def drawn(source, count=2, batch_size=8, seed=0, round_=1, data=DATA):
    return scored_batches(data, source, count, batch_size, seed, round_, "cpu")


@pytest.mark.parametrize("source", SOURCES)
def test_batches_are_a_function_of_seed_and_round(source):
    def inputs(**changes):
        return torch.cat([x for x, _ in drawn(source, **changes)])

    assert torch.equal(inputs(), inputs())
    assert not torch.equal(inputs(), inputs(seed=1))
    assert not torch.equal(inputs(), inputs(round_=2))


@pytest.mark.parametrize("source", SOURCES)
def test_batches_have_the_shapes_of_the_data(source):
    for x, y in drawn(source):
        assert x.shape == (8, 3, 4, 4)
        assert x.dtype == torch.float32
        assert y.shape == (8,)
        assert y.dtype == torch.int64
        assert set(y.tolist()) <= set(range(5))


def test_real_batches_are_distinct_examples_with_their_labels():
    pairs = drawn("real")
    chosen = torch.cat([x[:, 0, 0, 0] for x, _ in pairs]).round().long()
    assert len(set(chosen.tolist())) == 16
    assert torch.equal(chosen % 5, torch.cat([y for _, y in pairs]))


def test_more_batches_than_the_split_has_start_another_pass():
    pairs = drawn("real", count=7)
    assert len(pairs) == 7
    assert all(len(set(x[:, 0, 0, 0].tolist())) == 8 for x, _ in pairs)


def test_a_batch_is_at_most_the_split():
    ((x, _),) = drawn("real", count=1, batch_size=50)
    assert sorted(x[:, 0, 0, 0].round().tolist()) == list(range(20))


def test_shuffled_labels_are_those_of_the_real_batch_in_another_order():
    for (x, y), (again, labels) in zip(drawn("real"), drawn("shuffled-labels")):
        assert torch.equal(x, again)
        assert torch.equal(y.sort().values, labels.sort().values)
    assert any(
        not torch.equal(y, labels)
        for (_, y), (_, labels) in zip(drawn("real"), drawn("shuffled-labels"))
    )


def test_normal_images_have_the_mean_and_deviation_of_the_data_before_normalisation():
    ((x, y),) = drawn("normal", count=1, batch_size=2000)
    assert x.mean((0, 2, 3)).abs().max() < 0.03  # 5 standard errors of 32,000 draws
    assert (x.std((0, 2, 3)) - 1).abs().max() < 0.03
    assert y.bincount().min() > 300


def test_sparse_normal_images_keep_one_image_at_each_location_with_all_its_channels():
    ((x, _),) = drawn("sparse-normal", count=1, batch_size=8)
    kept = x != 0  # (batch, channels, height, width)
    assert torch.equal(kept.sum(0), torch.ones(3, 4, 4, dtype=torch.int64))
    assert torch.equal(kept.all(1), kept.any(1))


def test_a_noise_set_is_scored_by_the_examples_that_real_takes_and_training_has_it_too():
    split = Batches(SPLIT, DATA, 20, shuffle=False, source="labelled-normal")
    images, _ = next(split.epoch(0))
    for (x, y), (noise, labels) in zip(drawn("real"), drawn("labelled-normal")):
        assert torch.equal(y, labels)
        assert torch.equal(noise, images[x[:, 0, 0, 0].round().long()])


def test_each_image_is_kept_equally_often():
    kept = (sparse_normal((4, 1, 100, 100), torch.Generator().manual_seed(0)) != 0).sum((1, 2, 3))
    assert kept.sum() == 10_000
    assert (kept - 2500).abs().max() < 5 * (10_000 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize("source", ["normal", "sparse-normal", "fixed-normal"])
def test_random_images_are_refused_for_tokens(source):
    tokens = Split(torch.tensor([[7, 300], [2, 0]]), torch.tensor([0, 1]))
    given = Data(train=tokens, test=tokens, classes=2, input_shape=(2,))
    with pytest.raises(SpecError, match="integer tokens; choose real or shuffled-labels"):
        drawn(source, data=given)
    assert drawn("shuffled-labels", count=1, data=given)[0][0].dtype == torch.int64


@pytest.mark.parametrize("varied", [False, True])
def test_a_stream_is_read_for_scoring_too(varied):
    data = Data(
        train=Split(None, SPLIT.labels, list(IMAGES), varied=varied),
        test=SPLIT,
        classes=5,
        input_shape=(3, 4, 4),
        mean=DATA.mean,
        std=DATA.std,
    )
    for (x, y), (again, labels) in zip(drawn("real"), drawn("real", data=data)):
        assert torch.equal(x, again)
        assert torch.equal(y, labels)
