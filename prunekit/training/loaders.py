"""Batches of one's own data: of a DataLoader, of a Dataset, of `Data`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from prunekit.data.splits import Batches, Data
from prunekit.errors import SpecError
from prunekit.network.modes import random_left_alone
from prunekit.network.objective import Batch, batch_of
from prunekit.training.accuracy import EpochBatches


def check_some(batches: EpochBatches) -> None:
    """SpecError where an epoch has no batch, or does not say how many it has."""
    try:
        count = len(batches)
    except TypeError:
        raise SpecError(
            "an epoch's number of batches must be known; give the IterableDataset a __len__"
        ) from None
    if not count:
        raise SpecError("the data give no batch; with drop_last an epoch needs a whole one")


@attrs.frozen(eq=False)
class LoaderBatches:
    """A DataLoader as batches of an epoch, on the device; its sampler is told the epoch."""

    loader: Any
    device: torch.device

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Its batches from number `start` on; SpecError for one that is no pair."""
        for part in (self.loader.sampler, self.loader.batch_sampler):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        for number, batch in enumerate(self.loader):
            x, y = pair_of(batch)
            if number >= start:
                yield x.to(self.device), y.to(self.device)


def epoch_batches(
    data: Any, split: str, batch_size: int, device: torch.device, seed: int
) -> EpochBatches:
    """Batches of a split of `Data`, of a Dataset, or of a DataLoader."""
    if isinstance(data, Data):
        shuffle = split == "train"
        examples = getattr(data, split)
        return Batches(examples, data, batch_size, device=device, seed=seed, shuffle=shuffle)
    if isinstance(data, DataLoader):
        return LoaderBatches(data, device)
    indexed = (
        hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, str)
    )
    if indexed and not len(data):
        raise SpecError(f"data must have an example, and this {type(data).__name__} is empty")
    if not indexed:
        raise SpecError(
            "data must be a Dataset of (input, label) that has a length, a DataLoader, or what the "
            f"`load` of a dataset component gives: {type(data).__name__}"
        )
    if not isinstance(data[0], tuple | list) or len(data[0]) != 2:
        raise SpecError(f"an example must be a pair (input, label): {type(data[0]).__name__}")
    return LoaderBatches(DataLoader(data, batch_size, shuffle=split == "train"), device)


def as_batches(
    batches: Iterable[Any] | None, input_shape: Sequence[int] | None, device: torch.device
) -> list[Batch]:
    """(inputs, labels) pairs on `device`; a bare tensor has no labels."""
    if isinstance(batches, Tensor):
        raise SpecError(
            "batches must be a list of (inputs, labels) pairs; put the tensor in a list"
        )
    pairs = []
    for item in batches or ():
        x, y = (item, None) if isinstance(item, Tensor) else pair_of(item)
        if not isinstance(x, Tensor) or not isinstance(y, Tensor | None):
            kinds = f"({type(x).__name__}, {type(y).__name__})"
            raise SpecError(f"a batch must be a pair of tensors, as a DataLoader gives: {kinds}")
        if input_shape is not None and tuple(x.shape) == tuple(input_shape):
            x = x.unsqueeze(0)
        pairs.append((x.to(device), None if y is None else y.to(device)))
    return pairs


def pair_of(batch: Any) -> tuple[Tensor, Tensor]:
    """Inputs and labels; SpecError for a batch that is no pair."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise SpecError(f"a batch must be a pair (inputs, labels): {type(batch).__name__}")
    return batch[0], batch[1]


def shape_of(batches: list[Batch], input_shape: Sequence[int] | None) -> tuple[int, ...] | None:
    if input_shape is not None:
        return tuple(input_shape)
    return tuple(batches[0][0].shape[1:]) if batches else None


def example_of(data: Any, device: torch.device) -> Any:
    """Inputs of two examples of `data`, to see what a model does with its weights; None where
    they cannot be had without reading on. Random numbers are left as they were."""
    dataset = data.dataset if isinstance(data, DataLoader) else data
    if isinstance(data, Data):
        example = data.example()
        return torch.zeros(2, *data.input_shape) if example is None else example.to(device)
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        return None
    collate = data.collate_fn if isinstance(data, DataLoader) else default_collate
    with random_left_alone():
        try:
            two = collate([dataset[0], dataset[len(dataset) - 1]])
            return moved(batch_of(two)[0], device)
        except Exception:  # anyone's dataset may raise anything; training will say it
            return None


def moved(value: Any, device: torch.device) -> Any:
    """Tensors on the device, whatever holds them."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: moved(part, device) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(moved(part, device) for part in value)
    return value
