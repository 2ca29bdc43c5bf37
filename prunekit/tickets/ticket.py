"""What a ticket holds in memory, and bytes as tensors of its file."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
import torch
from torch import Tensor

from prunekit.tickets.coding.rans import Integers
from prunekit.tickets.header import Header


@attrs.frozen(eq=False)
class Ticket:
    """A network as a seed and bits.

    masks: flat bool, one for each part. codes: for each part, of its kept weights in order, the
    draw numbers (int64) or whether the sign is flipped (bool); None for values "initial". state:
    what is not drawn again, by name.
    """

    header: Header
    masks: list[Integers]
    codes: list[Integers | None]
    state: dict[str, Tensor]


def as_tensor(content: bytes) -> Tensor:
    """uint8 (bytes,)."""
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def bytes_of(tensors: Mapping[str, Tensor], name: str) -> bytes:
    """The bytes that were stored under a name; ValueError for other tensors."""
    if tensors[name].dtype != torch.uint8 or tensors[name].ndim != 1:
        raise ValueError(f"{name} holds no bytes")
    return tensors[name].numpy().tobytes()
