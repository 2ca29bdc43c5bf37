"""Batches of one's own data: of a DataLoader, of a Dataset, of `Data`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from prunekit.api.pruning import pair_of
from prunekit.data.splits import Batches, Data
from prunekit.errors import SpecError
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
