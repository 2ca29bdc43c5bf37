"""The examples of a batch: how many there are, where they lie in its tensors, and parts of them.

Labels decide how many: their first size. No size of an input is taken for it by guess.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from prunekit.errors import SpecError
from prunekit.network.losses import described
from prunekit.network.names import unwrapped
from prunekit.network.objective import Batch, batch_of


def ready(
    item: Any, model: nn.Module, device: torch.device | None = None, own: bool = False
) -> Batch:
    """What a loader gives, as a batch for `model`, its tensors on `device` (None = where they are).

    A list of inputs is the model's arguments where it takes so many, each of as many examples as
    there are labels. own: a forward of one's own takes the inputs, whatever they are. Raises
    SpecError for what is no batch, holds no example, or arrays and numbers instead of tensors.
    """
    inputs, labels = batch_of(item)
    refuse_arrays(inputs, labels, own)
    if not own and are_arguments(inputs, count_of(labels), model):
        inputs = tuple(inputs)
    if are_several(labels) and count_of(tuple(labels)) in sizes_of(inputs):
        labels = tuple(labels)  # a DataLoader collates a tuple of labels to a list
    if 0 in (count_of(labels), *(inputs.shape[:1] if isinstance(inputs, Tensor) else ())):
        raise SpecError(
            f"a batch has no example: inputs {described(inputs)}, labels {described(labels)}; "
            "leave it out"
        )
    return on_device(inputs, device), on_device(labels, device)


def are_several(labels: Any) -> bool:
    """Whether labels are a list of tensors."""
    return isinstance(labels, list) and all(isinstance(part, Tensor) for part in labels)


def refuse_arrays(inputs: Any, labels: Any, own: bool) -> None:
    """SpecError for arrays, numbers and nested tensors where tensors must stand."""
    given = [labels] if own else [inputs, labels]
    held = [leaf for value in given for leaf in leaves_of(value)]
    if any(isinstance(leaf, Tensor) and leaf.is_nested for leaf in held):
        raise SpecError("a batch holds a nested tensor; pad it to a plain one")
    if isinstance(inputs, Mapping) and not own:  # numbers and tuples are options of the model
        given += [part for part in inputs.values() if isinstance(part, list)]
    arrays = any(isinstance(leaf, np.ndarray | np.generic) for leaf in held)
    if arrays or any(numbers_in(value) for value in given):
        raise SpecError(
            "a batch must be a pair of tensors, as a DataLoader gives: "
            f"({type(inputs).__name__}, {type(labels).__name__})"
        )


def numbers_in(value: Any) -> bool:
    """Whether `value` is a number, or tuples and lists hold one."""
    if isinstance(value, tuple | list):
        return any(numbers_in(part) for part in value)
    return isinstance(value, int | float)


def has_parts(value: Any) -> bool:
    """Whether it is a mapping, tuple or list of tensors; packed sequences are one input."""
    return isinstance(value, Mapping | tuple | list) and not isinstance(value, PackedSequence)


def leaves_of(value: Any) -> Iterator[Any]:
    """What tuples, lists and mappings hold, at any depth, and anything else itself."""
    if has_parts(value):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from leaves_of(part)
    else:
        yield value


def on_device(value: Any, device: torch.device | None) -> Any:
    """`value` with every tensor in it on `device`; tuples, lists and mappings are gone into."""
    if has_parts(value):
        return rebuilt(value, lambda part: on_device(part, device))
    value = value.to(device) if device is not None and hasattr(value, "to") else value
    made_there = isinstance(value, Tensor) and value.is_inference()
    return value.clone() if made_there else value  # else no gradient passes it


def rebuilt(value: Any, act: Callable[[Any], Any]) -> Any:
    """A mapping, tuple or list with what `act` makes of each part; a mapping becomes a dict."""
    if isinstance(value, Mapping):
        return {name: act(part) for name, part in value.items()}
    parts = [act(part) for part in value]
    if isinstance(value, list):
        return parts
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


def are_arguments(inputs: Any, count: int | None, model: nn.Module) -> bool:
    """Whether a list is what `model` takes one by one: a DataLoader collates a tuple to a list."""
    if not isinstance(inputs, list) or len(inputs) < 2:
        return False
    if not all(isinstance(part, Tensor) and count in part.shape[:1] for part in inputs):
        return False
    parameters = inspect.signature(unwrapped(model).forward).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in places for p in parameters) >= len(inputs)


def count_of(labels: Any) -> int | None:
    """How many examples `labels` are for; None where they do not say, or do not agree."""
    if isinstance(labels, Tensor):
        return labels.shape[0] if labels.ndim else None
    if isinstance(labels, list):
        return len(labels)
    if isinstance(labels, tuple | Mapping):
        parts = labels.values() if isinstance(labels, Mapping) else labels
        counts = {count_of(part) for part in parts} - {None}
        return counts.pop() if len(counts) == 1 else None
    return None


def sizes_of(inputs: Any) -> set[int]:
    """The first sizes of all tensors in `inputs`."""
    tensors = [leaf for leaf in leaves_of(inputs) if isinstance(leaf, Tensor)]
    return {tensor.shape[0] for tensor in tensors if tensor.ndim}


def examples_in(batch: Batch) -> int | None:
    """How many examples a batch has: as many as labels; without labels, the one first size.

    None where neither says.
    """
    inputs, labels = batch
    if labels is not None:
        return count_of(labels)
    sizes = sizes_of(inputs)
    return sizes.pop() if len(sizes) == 1 else None


def two_of(x: Tensor) -> Tensor:
    """Indices of two examples of `x` (batch, ...), the first ones; int64 (2,).

    Of integers, those with the smallest and the largest: an embedding refuses its inputs by them.
    """
    if x.is_floating_point() or x.is_complex() or not x.numel():
        return torch.arange(2, device=x.device)
    rows = x.reshape(len(x), -1).long()  # of bool and uint16 torch finds no smallest
    return torch.stack([rows.amin(1).argmin(), rows.amax(1).argmax()])


def axis_of(tensor: Tensor, count: int, time_first: bool = False) -> int | None:
    """The axis of `tensor` that has the `count` examples; None where none has.

    It is the first, or the only one of that size; time_first: the second may be it too. Raises
    SpecError where several may be it.
    """
    axes = [axis for axis, size in enumerate(tensor.shape) if size == count]
    if time_first and 1 in axes and tensor.ndim <= 3:
        axes = axes[: 2 if axes[0] == 0 else 1]
    elif 0 in axes:
        axes = [0]
    if len(axes) > 1:
        raise SpecError(
            f"several axes of inputs {described(tensor)} may be the {count} examples, so they "
            "cannot be split; use split = 1, or a batch of another size"
        )
    return axes[0] if axes else None


def time_first(model: nn.Module | None) -> bool:
    """Whether a module of `model` takes (time, batch, ...), as torch's recurrent layers may."""
    modules = () if model is None else model.modules()
    return any(getattr(module, "batch_first", True) is False for module in modules)


def parts_of(batch: Batch, parts: int, model: nn.Module | None = None) -> Iterator[Batch]:
    """Cut a batch of n examples into `parts` consecutive ones, at i * n // parts.

    Every tensor is cut where its examples lie; what has none goes whole into each part. Parts
    without an example are left out. model: what it is for, where that is known. Raises SpecError
    where it is not known which axis the examples are.
    """
    if parts == 1:
        yield batch
        return
    swapped = time_first(model)
    count = located(batch, swapped)
    cuts = [i * count // parts for i in range(parts + 1)]
    for start, end in itertools.pairwise(cuts):
        if start < end:
            yield part_of(batch, count, start, end, swapped)


def located(batch: Batch, swapped: bool) -> int:
    """How many examples a batch has, each of which lies on a known axis; SpecError otherwise.

    swapped: the model may take (time, batch, ...).
    """
    inputs, labels = batch
    count = examples_in(batch)
    tensors = [leaf for leaf in leaves_of(inputs) if isinstance(leaf, Tensor) and leaf.ndim]
    if count is None or (swapped and any(alike(tensor, labels) for tensor in tensors)):
        raise SpecError(
            f"it is not known which axis of inputs {described(inputs)}, labels {described(labels)} "
            "are the examples, so they cannot be split; use split = 1, or batch_first=True"
        )
    if not holds_each(inputs, labels, count) and all(
        axis_of(tensor, count, swapped) is None for tensor in tensors
    ):
        raise SpecError(
            f"labels {described(labels)} do not fit inputs {described(inputs)}; give one label "
            "for each example"
        )
    return count


def alike(tensor: Tensor, labels: Any) -> bool:
    """Whether labels have an input's first two sizes, of batch and time in either order."""
    if tensor.ndim < 2 or tensor is labels:
        return False
    both = isinstance(labels, Tensor) and labels.ndim > 1 and labels.shape[:2] == tensor.shape[:2]
    return labels is None or both


def holds_each(value: Any, labels: Any, count: int) -> bool:
    """Whether a list holds one part for each of `count` examples, as of images of many sizes."""
    if not isinstance(value, list) or len(value) != count:
        return False
    stacked = all(isinstance(part, Tensor) and count in part.shape[:1] for part in value)
    return isinstance(labels, list) or not stacked


def part_of(batch: Batch, count: int, start: int, end: int, swapped: bool) -> Batch:
    """Examples `start` to `end` of a batch of `count`."""
    inputs, labels = batch

    def cut(value: Any, swapped: bool) -> Any:
        if holds_each(value, labels, count):
            return value[start:end]
        if has_parts(value):
            return rebuilt(value, lambda part: cut(part, swapped))
        axis = axis_of(value, count, swapped) if isinstance(value, Tensor) else None
        return value if axis is None else _narrowed(value, axis, start, end)

    return cut(inputs, swapped), cut(labels, False)


def _narrowed(tensor: Tensor, axis: int, start: int, end: int) -> Tensor:
    if tensor.layout == torch.strided:
        part = tensor.narrow(axis, start, end - start)
        return part.contiguous() if axis else part
    return tensor.index_select(axis, torch.arange(start, end, device=tensor.device))
