"""Batches of one's own data: of a DataLoader, of a Dataset, of `Data`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from prunekit.data.splits import Batches, Data
from prunekit.errors import SpecError
from prunekit.network.objective import Batch, batch_of
from prunekit.training.accuracy import EpochBatches, Pairs


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

    def epoch(self, epoch: int, start: int = 0) -> Pairs:
        """Its batches from number `start` on; SpecError for what is no batch, see `batch_of`."""
        for part in (self.loader.sampler, self.loader.batch_sampler):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        for number, item in enumerate(self.loader):
            if number >= start:
                yield batch_of(placed(item, self.device))


def placed(value: Any, device: torch.device) -> Any:
    """`value` on `device`: tensors and whatever has `to`, in lists, tuples and mappings too."""
    if hasattr(value, "to"):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: placed(part, device) for name, part in value.items()}
    if not isinstance(value, list | tuple):
        return value
    parts = [placed(part, device) for part in value]
    if isinstance(value, list):
        return parts
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


@attrs.frozen(eq=False)
class Joined:
    """The batches of indices of another sampler, a lone last one in the batch before."""

    sampler: Any

    def __len__(self) -> int:
        return len(self.sampler) - 1

    def __iter__(self) -> Iterator[list[int]]:
        held: list[int] = []
        for indices in self.sampler:
            if held and len(indices) > 1:
                yield held
                held = []
            held = held + indices
        yield held


def ends_alone(loader: Any) -> bool:
    """Whether the last of several batches has one example, as far as the loader can say."""
    batches = loader.batch_sampler
    if type(batches) is not BatchSampler or batches.drop_last:
        return False
    count = len(batches.sampler) if isinstance(batches.sampler, Sized) else 0
    return count > batches.batch_size and count % batches.batch_size == 1


def epoch_batches(
    data: Any,
    split: str,
    batch_size: int,
    device: torch.device,
    seed: int,
    takes: Callable[[Batch], bool] = lambda batch: True,
) -> EpochBatches:
    """Batches of a split of `Data`, of a Dataset, or of a DataLoader.

    takes: whether the model can be trained on a batch, asked of a lone example. Where it cannot,
    the last batch of a Dataset has one more; SpecError for a DataLoader that ends in one.
    """
    if isinstance(data, Data):
        shuffle = split == "train"
        examples = getattr(data, split)
        return Batches(examples, data, batch_size, device=device, seed=seed, shuffle=shuffle)
    own = not isinstance(data, DataLoader)
    if own:
        check_examples(data)
    loader = DataLoader(data, batch_size, shuffle=split == "train") if own else data
    if split == "train" and ends_alone(loader) and not takes(one_of(loader, device)):
        if not own:
            raise SpecError(
                f"the last of {len(loader)} batches has one example, and batch norm needs two; "
                "give the DataLoader drop_last=True, or another batch_size"
            )
        loader = DataLoader(data, batch_sampler=Joined(loader.batch_sampler))
    return LoaderBatches(loader, device)


def one_of(loader: Any, device: torch.device) -> Batch:
    """A batch of the first example alone; torch's generator stays where it is."""
    with torch.random.fork_rng([]):
        return batch_of(placed(loader.collate_fn([loader.dataset[0]]), device))


def check_examples(data: Any) -> None:
    """SpecError unless `data` is a Dataset of examples that a loader makes batches of."""
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
    if not isinstance(data[0], tuple | list | Mapping | Tensor):
        raise SpecError(
            f"an example must be a pair (input, label): {type(data[0]).__name__}; a tuple of "
            "inputs and a label, or a mapping with labels, is one too"
        )


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
