"""Batches of one's own data: of a DataLoader, of a Dataset, of `Data`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, default_collate

from prunekit.data.splits import Batches, Data
from prunekit.errors import SpecError, out_of_memory
from prunekit.network.examples import count_of, leaves_of, on_device, sizes_of
from prunekit.network.losses import described
from prunekit.network.modes import random_left_alone
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
    """A DataLoader as batches of an epoch, on the device; its sampler is told the epoch.

    as_batch: what makes a batch of what the loader gives.
    """

    loader: Any
    device: torch.device
    as_batch: Callable[[Any], Batch] = batch_of

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start: int = 0) -> Pairs:
        """Its batches from number `start` on; SpecError for what is no batch."""
        for part in (self.loader.sampler, self.loader.batch_sampler):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        for number, item in enumerate(self.loader):
            if number >= start:
                inputs, labels = self.as_batch(item)
                yield on_device(inputs, self.device), on_device(labels, self.device)


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
    as_batch: Callable[[Any], Batch] = batch_of,
    takes: Callable[[Batch], bool] = lambda batch: True,
) -> EpochBatches:
    """Batches of a split of `Data`, of a Dataset, or of a DataLoader.

    as_batch: what makes a batch of what a loader gives. takes: whether the model can be trained on
    a batch, asked of a lone example. Where it cannot, the last batch of a Dataset has one more;
    SpecError for a DataLoader that ends in one.
    """
    if isinstance(data, Data):
        shuffle = split == "train"
        examples = getattr(data, split)
        return Batches(examples, data, batch_size, device=device, seed=seed, shuffle=shuffle)
    own = not isinstance(data, DataLoader)
    if own:
        check_examples(data)
    loader = DataLoader(data, batch_size, shuffle=split == "train") if own else data
    batches = LoaderBatches(loader, device, as_batch)
    if split == "train" and ends_alone(loader) and not takes(one_of(batches)):
        if not own:
            raise SpecError(
                f"the last of {len(loader)} batches has one example, and batch norm needs two; "
                "give the DataLoader drop_last=True, or another batch_size"
            )
        joined = DataLoader(data, batch_sampler=Joined(loader.batch_sampler))
        return attrs.evolve(batches, loader=joined)
    return batches


def one_of(batches: LoaderBatches) -> Batch:
    """A batch of the first example alone; torch's generator stays where it is."""
    loader = batches.loader
    with torch.random.fork_rng([]):
        inputs, labels = batches.as_batch(loader.collate_fn([loader.dataset[0]]))
        return on_device(inputs, batches.device), on_device(labels, batches.device)


def check_examples(data: Any) -> None:
    """SpecError unless `data` is a Dataset of examples that a loader makes batches of."""
    indexed = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    indexed = indexed and not isinstance(data, str | Mapping)
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
    if isinstance(data, list | tuple):
        refuse_columns(data)
        refuse_batches(data)


def refuse_columns(data: Sequence[Any]) -> None:
    """SpecError for the tensors of a TensorDataset, all inputs and all labels, as examples."""
    tensors = [part for part in data if isinstance(part, Tensor)]
    kinds = {(part.shape, part.dtype) for part in tensors}
    pair = isinstance(data, tuple) and len(data) == 2
    if len(tensors) == len(data) and (pair or len(kinds) > 1):
        raise SpecError(
            f"data must be a Dataset of examples, and this {type(data).__name__} has all inputs "
            f"and all labels, {described(tuple(data))}; give TensorDataset(X, Y) of them"
        )


def refuse_batches(data: Sequence[Any]) -> None:
    """SpecError for a list of batches as examples: what it has is told by first sizes alone."""
    inputs, labels = batch_of(data[0])
    count, parts = count_of(labels), [t for t in leaves_of(inputs) if isinstance(t, Tensor)]
    alike = bool(parts) and count is not None and count > 1 and sizes_of(inputs) == {count}
    if not alike or max(t.ndim for t in parts) < 2:
        return
    pictures = isinstance(labels, Tensor) and labels.ndim == 3 == max(t.ndim for t in parts)
    if not pictures:  # of which one predicts the other, (channels, height, width)
        raise SpecError(
            f"data must be examples, and {described(data[0])} looks like a batch of {count}; give "
            "TensorDataset(X, Y), or for batches of your own, or such examples, a DataLoader: "
            "DataLoader(batches, batch_size=None), DataLoader(examples, batch_size=...)"
        )


def example_of(data: Any, device: torch.device) -> Any:
    """Inputs of two examples of `data`, to see what a model does with its weights; None where
    they cannot be had without reading on. Random numbers are left as they were."""
    dataset = data.dataset if isinstance(data, DataLoader) else data
    if isinstance(data, Data):
        example = data.example()
        return (
            torch.zeros(2, *data.input_shape, device=device)
            if example is None
            else example.to(device)
        )
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        return None
    collate = data.collate_fn if isinstance(data, DataLoader) else default_collate
    with random_left_alone():
        try:
            two = collate([dataset[0], dataset[len(dataset) - 1]])
            return on_device(batch_of(two)[0], device)
        except Exception as error:  # anyone's dataset may raise anything; training will say it
            if short := out_of_memory(error):
                raise short from error
            return None
