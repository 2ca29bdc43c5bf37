"""The batches that scorers see: real examples or random ones, drawn afresh for each round."""

from __future__ import annotations

import torch
from torch import Tensor

from prunekit.data.splits import Data, Normalise, Split, refuse_noise
from prunekit.data.streams import Fitted, read_batches
from prunekit.data.synthetic import FIXED, RANDOM_IMAGES, fixed_labels, fixed_normal
from prunekit.draws.chance import generator
from prunekit.spec.sections import DataSource


def scored_batches(
    data: Data,
    source: DataSource,
    count: int,
    batch_size: int,
    seed: int,
    round: int,
    device: torch.device | str = "cpu",
) -> list[tuple[Tensor, Tensor]]:
    """`count` batches on `device`, a function of (seed, round).

    Inputs are float32 (batch, *input_shape), normalised; labels those of the split. Real examples
    come from the training split without augmentation, each at most once until all were used;
    a batch has at most as many as the split. "shuffled-labels" are the same images with the
    labels permuted within each batch. Random images (see synthetic.py) have uniform labels;
    "fixed-normal" and "labelled-normal" are those of the examples that "real" takes.
    Raises SpecError for random images of token data.
    """
    refuse_noise(data, source)
    target = torch.device(device)
    if source in RANDOM_IMAGES:
        pairs = [_random(data, source, batch_size, seed, round, i) for i in range(count)]
    else:
        rng = generator(seed, "scored", round)
        indices = _indices(len(data.train), count, batch_size, rng)
        pairs = _fixed(data, source, indices, seed) if source in FIXED else _real(data, indices)
    if source == "shuffled-labels":
        rng = generator(seed, "scored labels", round)
        pairs = [(x, y[torch.randperm(len(y), generator=rng)]) for x, y in pairs]
    return [(x.to(target), y.to(target)) for x, y in pairs]


def _indices(size: int, count: int, batch_size: int, rng: torch.Generator) -> list[Tensor]:
    """`count` index tensors of distinct examples, pass after pass over the split."""
    batch_size = min(batch_size, size)
    chosen: list[Tensor] = []
    while len(chosen) < count:
        order = torch.randperm(size, generator=rng)
        chosen += order[: size - size % batch_size].split(batch_size)
    return chosen[:count]


def _real(data: Data, indices: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    normalise = Normalise.of(data, torch.device("cpu"))
    images = _images(data.train, data.input_shape, indices)
    return [(normalise(x), data.train.labels[index]) for x, index in zip(images, indices)]


def _fixed(
    data: Data, source: DataSource, indices: list[Tensor], seed: int
) -> list[tuple[Tensor, Tensor]]:
    labels = data.train.labels
    if source == "fixed-normal":
        labels = fixed_labels(len(data.train), data.classes, seed)
    return [(fixed_normal(index, data.input_shape, seed), labels[index]) for index in indices]


def _images(split: Split, shape: tuple[int, ...], indices: list[Tensor]) -> list[Tensor]:
    if split.images is not None:
        return [split.images[index] for index in indices]
    stream = split.stream
    if split.varied:
        stream = Fitted(stream, (shape[1], shape[2]))
    return list(read_batches(stream, indices))


def _random(
    data: Data, source: DataSource, batch_size: int, seed: int, round: int, number: int
) -> tuple[Tensor, Tensor]:
    rng = generator(seed, "scored", round, number)
    images = RANDOM_IMAGES[source]((batch_size, *data.input_shape), rng)
    return images, torch.randint(data.classes, (batch_size,), generator=rng)
