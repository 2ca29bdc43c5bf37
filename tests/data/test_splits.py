"""Splits, and batches that are a function of (seed, epoch)."""

from __future__ import annotations

import typing

import attrs
import pytest
import torch

from prunekit.data.splits import Batches, Data, Split, prepare
from prunekit.errors import DataError, SpecError
from prunekit.spec.sections import DataOptions, DataSource

SOURCES = typing.get_args(DataSource)


def split(count, size=4):
    """Image i holds the value i in every pixel; its label is i % 3."""
    values = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1)
    return Split(values.expand(-1, 2, size, size).contiguous(), torch.arange(count) % 3)


def data(train=10, test=3, **changes):
    standard = Data(
        train=split(train),
        test=split(test),
        classes=3,
        input_shape=(2, 4, 4),
        mean=(0.0, 0.0),
        std=(1 / 255, 1 / 255),  # so that a normalised pixel is the uint8 value
    )
    return attrs.evolve(standard, **changes)


def streamed(whole, **changes):
    """The same data, read from a stream instead of from memory."""
    stream = list(whole.train.images)
    return attrs.evolve(whole, train=Split(None, whole.train.labels, stream, **changes))


def values(batches, epoch=0, start=0):
    """The first pixel of each example, batch by batch."""
    return [[round(v) for v in x[:, 0, 0, 0].tolist()] for x, _ in batches.epoch(epoch, start)]


def test_an_epoch_has_every_example_once_with_its_label_and_a_short_last_batch():
    batches = Batches(data().train, data(), 4, seed=1)
    found = list(batches.epoch(0))
    assert len(batches) == 3
    assert [len(x) for x, _ in found] == [4, 4, 2]
    assert sorted(value for batch in values(batches) for value in batch) == list(range(10))
    for x, y in found:
        assert x.dtype == torch.float32
        assert y.dtype == torch.int64
        assert torch.equal(x[:, 0, 0, 0].round().long() % 3, y)


@pytest.mark.parametrize(
    ("size", "sizes"), [(3, [3, 3, 4]), (9, [10]), (1, [1] * 10), (10, [10]), (11, [10])]
)
def test_a_lone_last_example_joins_the_batch_before(size: int, sizes: list[int]):
    batches = Batches(data().train, data(), size)
    assert [len(x) for x, _ in batches.epoch(0)] == sizes
    assert len(batches) == len(sizes)


def test_the_order_is_a_function_of_seed_epoch_and_stream():
    def order(seed=1, epoch=0, stream="train"):
        return values(Batches(data().train, data(), 4, seed=seed, stream=stream), epoch)

    assert order() == order()
    assert order() != order(seed=2)
    assert order() != order(epoch=1)
    assert order() != order(stream="rounds")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("augment", ["none", "flip", "flip-crop", "pad-resized-crop"])
def test_skipping_batches_gives_exactly_the_tail(augment, source):
    batches = Batches(data().train, data(), 4, augment=augment, source=source)
    whole, tail = list(batches.epoch(3)), list(batches.epoch(3, start=1))
    assert len(tail) == 2
    for (x, y), (again, labels) in zip(whole[1:], tail):
        assert torch.equal(x, again)
        assert torch.equal(y, labels)


def test_evaluation_keeps_the_order():
    batches = Batches(data().train, data(), 4, shuffle=False)
    assert values(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_channel_is_normalised_by_its_own_mean_and_deviation():
    given = data(mean=(0.0, 1.0), std=(1.0, 0.5))
    x, _ = next(Batches(given.train, given, 10, shuffle=False).epoch(0))
    assert x[5, 0, 0, 0].item() == pytest.approx(5 / 255)
    assert x[5, 1, 0, 0].item() == pytest.approx((5 / 255 - 1) / 0.5)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("augment", ["none", "flip-crop"])
def test_a_stream_gives_the_same_batches_as_memory_with_any_number_of_workers(workers, augment):
    whole = data()
    stored = Batches(whole.train, whole, 4, augment=augment)
    read = Batches(streamed(whole).train, whole, 4, augment=augment, workers=workers)
    for (x, y), (again, labels) in zip(stored.epoch(1, 1), read.epoch(1, 1), strict=True):
        assert torch.equal(x, again)
        assert torch.equal(y, labels)


def test_reading_a_stream_leaves_the_global_generator_alone():
    batches = Batches(streamed(data()).train, data(), 4)
    before = torch.random.get_rng_state()
    list(batches.epoch(0))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("source", ["normal", "sparse-normal"])
def test_random_images_come_with_labels_of_all_classes_and_differ_by_epoch(source):
    given = data(train=100)
    batches = Batches(given.train, given, 60, source=source)
    pairs = list(batches.epoch(0))
    assert [tuple(x.shape) for x, _ in pairs] == [(60, 2, 4, 4), (40, 2, 4, 4)]
    assert set(pairs[0][1].tolist()) == {0, 1, 2}
    assert not torch.equal(pairs[0][0], next(batches.epoch(1))[0])


def noise(source, epoch=0, stream="train", seed=0, batch_size=60):
    """Images and labels of an epoch on a noise set, by example."""
    given = data(train=100)
    made = Batches(given.train, given, batch_size, source=source, stream=stream, seed=seed)
    x, y = (torch.cat(parts) for parts in zip(*made.epoch(epoch)))
    order = torch.cat([*made._order(epoch).split(1000)]).argsort()
    return x[order], y[order]


@pytest.mark.parametrize("source", ["fixed-normal", "labelled-normal"])
def test_a_noise_set_has_one_image_for_each_example_whatever_the_epoch_or_the_round(source):
    images, labels = noise(source)
    assert len(images.flatten(1).unique(dim=0)) == 100
    assert abs(float(images.mean())) < 0.09  # 5 standard errors of 3,200 draws
    assert abs(float(images.std()) - 1) < 0.07
    for again in (noise(source, epoch=3), noise(source, stream="round-2", batch_size=7)):
        assert torch.equal(images, again[0])
        assert torch.equal(labels, again[1])
    assert not torch.equal(images, noise(source, seed=1)[0])


def test_the_labels_of_a_noise_set_are_uniform_or_those_of_the_examples():
    (images, drawn), (same, own) = noise("fixed-normal"), noise("labelled-normal")
    assert torch.equal(images, same)
    assert torch.equal(own, data(train=100).train.labels)
    assert (drawn == own).float().mean() < 0.6  # one third on average
    assert drawn.bincount().min() > 15


def test_noise_with_the_labels_of_the_examples_takes_labels_that_are_numbers():
    given = data(train=10)
    given = attrs.evolve(given, train=attrs.evolve(given.train, labels=torch.rand(10, 2)))
    _, y = next(Batches(given.train, given, 10, shuffle=False, source="labelled-normal").epoch(0))
    assert torch.equal(y, given.train.labels)
    with pytest.raises(SpecError, match="'fixed-normal' draws class numbers as labels"):
        Batches(given.train, given, 10, source="fixed-normal")


def test_shuffled_labels_keep_images_and_the_count_of_each_label_for_all_epochs():
    given = data(train=100)
    real = Batches(given.train, given, 100, shuffle=False)
    shuffled = Batches(given.train, given, 100, shuffle=False, source="shuffled-labels")
    (x, y), (again, labels) = next(real.epoch(0)), next(shuffled.epoch(0))
    assert torch.equal(x, again)
    assert not torch.equal(y, labels)
    assert torch.equal(y.bincount(), labels.bincount())
    assert torch.equal(labels, next(shuffled.epoch(1))[1])


def test_an_example_has_the_largest_token_of_all_splits():
    train = Split(torch.tensor([[7, 300], [2, 0]], dtype=torch.int32), torch.tensor([0, 1]))
    test = Split(torch.tensor([[5, 999]], dtype=torch.int32), torch.tensor([0]))
    example = Data(train=train, test=test, classes=2, input_shape=(2,)).example()
    assert example.tolist() == [[999, 0], [999, 0]]
    assert example.dtype == torch.int32


def test_tokens_reach_the_model_as_they_are():
    tokens = Split(torch.tensor([[7, 300], [2, 0]]), torch.tensor([0, 1]))
    given = Data(train=tokens, test=tokens, classes=2, input_shape=(2,))
    x, _ = next(Batches(tokens, given, 2, shuffle=False).epoch(0))
    assert torch.equal(x, torch.tensor([[7, 300], [2, 0]]))
    with pytest.raises(SpecError, match="integer tokens; choose real or shuffled-labels"):
        Batches(tokens, given, 2, source="normal")
    with pytest.raises(SpecError, match="'labelled-normal' makes random images"):
        Batches(tokens, given, 2, source="labelled-normal")
    with pytest.raises(SpecError, match="no images"):
        Batches(tokens, given, 2, augment="flip")


def test_validation_examples_leave_the_training_set_by_seed():
    def held_out(seed):
        prepared = prepare(data(), DataOptions(validation=4), seed)
        return [part.images[:, 0, 0, 0].tolist() for part in (prepared.train, prepared.validation)]

    train, validation = held_out(0)
    assert (len(train), len(validation)) == (6, 4)
    assert sorted(train + validation) == list(range(10))
    assert held_out(0) == held_out(0)
    assert held_out(0) != held_out(1)


def test_a_stream_is_split_as_memory_is():
    stored = prepare(data(), DataOptions(validation=4), 0).validation
    read = prepare(streamed(data()), DataOptions(validation=4), 0).validation
    assert torch.equal(stored.labels, read.labels)
    assert torch.equal(stored.images[2], read.stream[2])


@pytest.mark.parametrize("count", [10, 11])
def test_a_validation_set_that_leaves_nothing_is_refused(count):
    with pytest.raises(SpecError, match=f"below the 10 training examples: {count}"):
        prepare(data(), DataOptions(validation=count), 0)


def test_a_second_validation_set_is_refused():
    with pytest.raises(SpecError, match="the dataset has a validation split"):
        prepare(data(validation=split(2)), DataOptions(validation=2), 0)


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="the test split has no examples"):
        prepare(data(test=0), DataOptions(), 0)


def test_a_size_resizes_memory_and_streams_alike():
    stored = prepare(data(), DataOptions(size=6), 0)
    read = prepare(streamed(data()), DataOptions(size=6), 0)
    assert stored.input_shape == read.input_shape == (2, 6, 6)
    assert tuple(stored.train.images.shape) == (10, 2, 6, 6)
    assert torch.equal(stored.train.images[7], read.train.stream[7])


def test_images_that_differ_in_size_need_a_size():
    varied = streamed(data(input_shape=(2,)), varied=True)
    with pytest.raises(SpecError, match=r"say with data\.size"):
        prepare(varied, DataOptions(), 0)
    assert prepare(varied, DataOptions(size=4), 0).input_shape == (2, 4, 4)


@pytest.mark.parametrize("augment", ["none", "flip", "flip-crop", "pad-resized-crop"])
def test_images_of_any_size_are_fitted_as_a_function_of_seed_epoch_and_index(augment):
    noise = torch.Generator().manual_seed(0)
    sizes = [(9, 5), (4, 4), (5, 12), (30, 31), (2, 3)]
    stream = [torch.randint(256, (2, *s), generator=noise).to(torch.uint8) for s in sizes]
    varied = Split(None, torch.arange(5), stream, varied=True)

    def examples(workers, epoch=0):
        batches = Batches(varied, data(), 2, augment=augment, workers=workers)
        return {y.item(): x for xs, ys in batches.epoch(epoch) for x, y in zip(xs, ys)}

    here, there = examples(0), examples(2)
    assert all(x.shape == (2, 4, 4) for x in here.values())
    assert all(torch.equal(here[label], there[label]) for label in range(5))
    later = examples(0, epoch=1)
    unchanged = all(torch.equal(here[label], later[label]) for label in range(5))
    assert unchanged == (augment == "none")


def test_a_damaged_example_of_a_stream_is_one_line_from_any_worker():
    class Damaged:
        def __getitem__(self, index):
            raise DataError("x.png is damaged")

    broken = Split(None, torch.arange(3), Damaged())
    for workers in (0, 1):
        with pytest.raises(DataError, match=r"^x\.png is damaged$"):
            list(Batches(broken, data(), 2, workers=workers).epoch(0))


def test_a_split_has_images_or_a_stream():
    with pytest.raises(DataError, match="exactly one"):
        Split(None, torch.arange(3))
    with pytest.raises(DataError, match="2 images but 3 labels"):
        Split(torch.zeros(2, 1, 1, 1, dtype=torch.uint8), torch.arange(3))
