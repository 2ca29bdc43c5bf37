"""What a batch holds, rebuilt part by part, and copied: a forward pass may write to its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def rebuilt(value: Any, act: Callable[[Any], Any]) -> Any:
    """A mapping, tuple or list with what `act` makes of each part; a mapping becomes a dict."""
    if isinstance(value, Mapping):
        return {name: act(part) for name, part in value.items()}
    parts = [act(part) for part in value]
    if isinstance(value, list):
        return parts
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


def copied(value: Any) -> Any:
    """`value` with a copy of every tensor in it, and of what else has a `clone`."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, Mapping | tuple | list):
        return rebuilt(value, copied)
    return value.clone() if callable(getattr(value, "clone", None)) else value
