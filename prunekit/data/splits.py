"""Data as splits in memory or in streams, and batches whose order is a function of the seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.utils.data import Subset

from prunekit.data.augment import AUGMENTS, send
from prunekit.data.limit import limited
from prunekit.data.streams import Fitted, Resized, Stream, read_batches, resize
from prunekit.data.synthetic import FIXED, RANDOM_IMAGES, fixed_labels, fixed_normal
from prunekit.draws.chance import fold, generator
from prunekit.errors import DataError, SpecError
from prunekit.spec.sections import DataSource
from prunekit.spec.settings import DataSettings


@attrs.frozen(eq=False)
class Split:
    """Examples with labels. Exactly one of `images` and `stream` is given.

    images: uint8 (N, channels, height, width), or integer tokens (N, length), in memory.
    labels: class numbers, int64 (N,); or numbers, float32 (N,) or (N, outputs), with a loss that
    takes such, as mse and binary do. stream: for what does not fit, a map-style dataset: index ->
    uint8 (channels, height, width). varied: the stream's images differ in size, and each is brought
    to the input shape as it is read.
    """

    images: Tensor | None
    labels: Tensor
    stream: Any = None
    varied: bool = False

    def __attrs_post_init__(self) -> None:
        if (self.images is None) == (self.stream is None):
            raise DataError("a split has either images or a stream: give exactly one of them")
        if self.images is not None and len(self.images) != len(self.labels):
            raise DataError(f"{len(self.images)} images but {len(self.labels)} labels in a split")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> Split:
        """The examples at `indices` (int64), in that order."""
        if self.images is not None:
            return attrs.evolve(self, images=self.images[indices], labels=self.labels[indices])
        stream = Subset(self.stream, indices.tolist())
        return attrs.evolve(self, stream=stream, labels=self.labels[indices])


@attrs.frozen(eq=False, kw_only=True)
class Data:
    """What a dataset loads.

    classes: labels are 0 .. classes - 1; where they are no class numbers, how many outputs a
    network has. input_shape: of one example as the network sees it, (channels, height, width), or
    (channels,) where images differ in size and `data.size` must say.
    mean, std: per channel, in units where white is 1; empty for tokens. bad_files: what was left
    out because it holds no image, sorted; see `data.skip_bad`. sizes: where images differ in size,
    the smallest and the largest in words.
    """

    train: Split
    test: Split
    validation: Split | None = None
    classes: int
    input_shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    class_names: tuple[str, ...] = ()
    bad_files: tuple[str, ...] = ()
    sizes: str = ""

    @property
    def tokens(self) -> bool:
        """Whether examples are integer tokens, which are neither normalised nor augmented."""
        images = self.train.images
        return images is not None and images.dtype != torch.uint8

    def example(self) -> Tensor | None:
        """Two inputs that a network for this data must take; None where none can be made up.

        A black image each, or the largest token that occurs and zeros after it.
        """
        if not self.tokens:
            return torch.zeros(2, *self.input_shape) if len(self.input_shape) == 3 else None
        splits = (self.train, self.test, self.validation)
        held = [one.images for one in splits if one is not None and one.images is not None]
        tokens = torch.zeros(2, *self.input_shape, dtype=held[0].dtype)
        tokens[:, 0] = max(int(images.max()) for images in held if images.numel())
        return tokens


def prepare(data: Data, options: DataSettings, seed: int) -> Data:
    """`data` as `options` want it: a validation set split off, so many examples, images of a size.

    The validation set is drawn from `seed` (the published split of CIFAR-10 has 45,000 / 5,000),
    and so are the training examples that `limit` leaves.
    Raises DataError for an empty split, SpecError for an option that cannot act.
    """
    if not isinstance(data, Data):
        raise DataError(f"a data set must load a prunekit.Data: {type(data).__name__}")
    data = _split_off(data, options.validation, seed)
    data = attrs.evolve(data, train=limited(data.train, options.limit, seed))
    for name in ("train", "test", "validation"):
        split = getattr(data, name)
        if split is not None and len(split) == 0:
            raise DataError(f"the {name} split has no examples; give it at least one")
    data = data if options.size is None else _resized(data, options.size)
    if len(data.input_shape) == 1 and not data.tokens:
        which = f" ({data.sizes})" if data.sizes else ""
        raise SpecError(
            f"the images differ in size{which}; say with data.size which they shall have"
        )
    return data


def _split_off(data: Data, count: int, seed: int) -> Data:
    if count == 0:
        return data
    if data.validation is not None:
        raise SpecError(f"data.validation = {count} cannot act: the dataset has a validation split")
    if count >= (have := len(data.train)):
        raise SpecError(
            f"data.validation must be below the {have} training examples: {count}; lower it"
        )
    order = torch.randperm(len(data.train), generator=generator(seed, "validation"))
    kept, held_out = order[count:].sort().values, order[:count].sort().values
    return attrs.evolve(data, train=data.train.take(kept), validation=data.train.take(held_out))


def _resized(data: Data, size: int) -> Data:
    if data.tokens:
        raise SpecError(f"data.size = {size} cannot act: the examples are no images")
    shape = (data.input_shape[0], size, size)
    splits: dict[str, Any] = {
        name: _resized_split(split, size)
        for name in ("train", "test", "validation")
        if (split := getattr(data, name)) is not None and data.input_shape != shape
    }
    return attrs.evolve(data, input_shape=shape, **splits)


def _resized_split(split: Split, size: int) -> Split:
    if split.varied:
        return split
    if split.images is None:
        return attrs.evolve(split, stream=Resized(split.stream, (size, size)))
    parts = [resize(part, (size, size)) for part in split.images.split(4096)]
    return attrs.evolve(split, images=torch.cat(parts))


@attrs.frozen(eq=False)
class Normalise:
    """(x / 255 - mean) / std of uint8 or float images in 0..255; tokens stay as they are."""

    shift: Tensor
    scale: Tensor

    @classmethod
    def of(cls, data: Data, device: torch.device) -> Normalise:
        shift, scale = (
            torch.tensor(values, device=device).view(-1, 1, 1) * 255
            for values in (data.mean, data.std)
        )
        return cls(shift, scale)

    def __call__(self, images: Tensor) -> Tensor:
        if not self.shift.numel():
            return images
        return images.to(torch.float32).sub_(self.shift).div_(self.scale)


class Batches:
    """Batches of a split, epoch by epoch; order and augmentation follow from the seed alone.

    Small sets live on the device as uint8 and are augmented there, a batch at a time; streams
    are read by `workers` processes, whose number changes nothing. `source` replaces the images
    or labels by random ones (see synthetic.py); "shuffled-labels" permutes the labels of the whole
    split once. `stream` names the purpose: other names give other draws.
    """

    def __init__(
        self,
        split: Split,
        data: Data,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        augment: str = "none",
        seed: int = 0,
        shuffle: bool = True,
        workers: int = 0,
        stream: str = "train",
        source: DataSource = "real",
    ) -> None:
        refuse_noise(data, source)
        if augment != "none" and data.tokens:
            raise SpecError(f"data.augment = {augment!r} cannot act: the examples are no images")
        self.split, self.data, self.batch_size = split, data, batch_size
        self.device, self.augment, self.shuffle = torch.device(device), augment, shuffle
        self.seed, self.stream, self.workers, self.source = seed, stream, workers, source
        self.normalise = Normalise.of(data, self.device)
        labels = split.labels
        if source == "shuffled-labels":
            labels = labels[torch.randperm(len(split), generator=self._rng("labels"))]
        if source == "fixed-normal":
            labels = fixed_labels(len(split), data.classes, seed)
        self._labels = labels.to(self.device)
        self._images = None if split.images is None else split.images.to(self.device)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._sizes)

    @property
    def _sizes(self) -> list[int]:
        """Examples in each batch: the last may be short, but a lone one joins the batch before.

        Batch norm cannot train on a single example.
        """
        whole, rest = divmod(len(self.split), self.batch_size)
        if rest == 1 and whole:
            return [self.batch_size] * (whole - 1) + [self.batch_size + 1]
        return [self.batch_size] * whole + [rest] * (rest > 0)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of one epoch from number `start` on, on the device.

        Inputs are float32 (batch, *input_shape), normalised; labels are those of the split. What
        batch k holds does not depend on `start`.
        """
        if self.source in RANDOM_IMAGES:
            return self._random(epoch, start)
        if self.source in FIXED:
            return self._fixed(epoch, start)
        return self._real(epoch, start)

    def _real(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = self._order(epoch)
        there = send(order, self.device).split(self._sizes)[start:]
        images = self._read(order.split(self._sizes)[start:], there, epoch)
        augment = AUGMENTS["none" if self.split.varied else self.augment]
        for number, (index, batch) in enumerate(zip(there, images), start):
            batch = augment(batch, self._rng("augment", epoch, number))
            yield self.normalise(batch), self._labels[index]

    def _order(self, epoch: int) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.split))
        return torch.randperm(len(self.split), generator=self._rng("order", epoch))

    def _read(
        self, here: Sequence[Tensor], there: Sequence[Tensor], epoch: int
    ) -> Iterator[Tensor]:
        """Images on the device; `here` and `there` are the indices on the CPU and the device."""
        if self._images is not None:
            yield from (self._images[index] for index in there)
            return
        stream: Stream = self.split.stream
        if self.split.varied:
            height, width = self.data.input_shape[1:]
            seed = fold(self.seed, self.stream, "fit", epoch)
            stream = Fitted(stream, (height, width), self.augment, seed)
        pin = self.device.type == "cuda"
        for batch in read_batches(stream, here, workers=self.workers, pin=pin):
            yield batch.to(self.device, non_blocking=True)

    def _random(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number, count in enumerate(self._sizes[start:], start):
            rng = self._rng("images", epoch, number)
            images = RANDOM_IMAGES[self.source]((count, *self.data.input_shape), rng)
            labels = torch.randint(self.data.classes, (count,), generator=rng)
            yield send(images, self.device), send(labels, self.device)

    def _fixed(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        for index in self._order(epoch).split(self._sizes)[start:]:
            images = fixed_normal(index, self.data.input_shape, self.seed)
            yield send(images, self.device), self._labels[send(index, self.device)]

    def _rng(self, *purpose: str | int) -> torch.Generator:
        return generator(self.seed, self.stream, *purpose)


def refuse_noise(data: Data, source: DataSource) -> None:
    """SpecError when random images are asked for, and examples are tokens or labels no classes."""
    labels = data.train.labels
    numbered = source == "labelled-normal" or (labels.ndim == 1 and not labels.is_floating_point())
    if (source not in RANDOM_IMAGES and source not in FIXED) or (numbered and not data.tokens):
        return
    why = "makes random images, and these examples are integer tokens"
    if not numbered:
        kind = f"{tuple(labels.shape[1:])} {labels.dtype}"
        why = f"draws class numbers as labels, and these are {kind} each"
    raise SpecError(f"data source {source!r} {why}; choose real or shuffled-labels")
