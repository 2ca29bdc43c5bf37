"""Parameters that cannot be masked for the way they are held, and memory that several share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prunekit.errors import SpecError
from prunekit.network.names import Layer
from prunekit.network.taint import span


def unmaskable(parameter: Tensor) -> str | None:
    """Why a tensor holds no weights that can be multiplied by 0 or 1; None where it can."""
    if hasattr(parameter, "__tensor_flatten__"):
        return type(parameter).__name__
    if parameter.layout != torch.strided:
        return "sparse"
    if not parameter.is_floating_point() or parameter.element_size() < 2:
        return str(parameter.dtype).removeprefix("torch.")
    if any(step == 0 and n > 1 for step, n in zip(parameter.stride(), parameter.shape)):
        return "an expanded view"
    return None


def shared_with(layers: Mapping[str, Layer]) -> dict[str, str]:
    """Parameter -> an earlier one that is another view of the same weights, which counts for both.

    Raises SpecError for two that share some of their weights only.
    """
    held: dict[int, list[Layer]] = {}
    found: dict[str, str] = {}
    for layer in layers.values():
        parameter = layer.parameter
        if parameter.layout != torch.strided or not parameter.numel():
            continue
        try:
            key = parameter.untyped_storage()._cdata
        except NotImplementedError:  # a tensor of a kind of its own
            continue
        for other in held.setdefault(key, []):
            if overlap(other.parameter, parameter):
                if not _same_entries(other.parameter, parameter):
                    raise SpecError(
                        f"{layer.name} and {other.name} share some of their memory, so that no "
                        "count would be true; give each its own: nn.Parameter(view.clone())"
                    )
                found[layer.name] = other.name
                break
        else:
            held[key].append(layer)
    return found


def _same_entries(one: Tensor, other: Tensor) -> bool:
    """Whether two views of one storage are of the same entries, in whatever order."""
    return one.numel() == other.numel() and torch.equal(*map(_entries, (one, other)))


def _entries(view: Tensor) -> Tensor:
    """Where the entries of a view lie in its storage, sorted."""
    start = torch.tensor(view.storage_offset())
    for length, step in zip(view.shape, view.stride()):
        start = start.unsqueeze(-1) + torch.arange(length) * step
    return start.reshape(-1).sort().values


def overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two views of one storage have an entry in common."""
    (start, end), (low, high) = span(one), span(other)
    if start >= high or low >= end:
        return False
    size = one.element_size()
    first = min(start, low) // size
    taken = torch.zeros(max(end, high) // size - first + 1, dtype=torch.bool)
    for view, value in ((one, True), (other, False)):
        offset = view.storage_offset() - first
        entries = taken.as_strided(view.shape, view.stride(), offset)
        if value:
            entries.fill_(True)
        elif bool(entries.any()):
            return True
    return False
