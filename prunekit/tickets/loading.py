"""The network of a ticket: read, built, drawn and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from prunekit.errors import SpecError, StorageError
from prunekit.plugins import Plugins
from prunekit.tickets import file
from prunekit.tickets.rebuilding import bare, fill, installed, state_sha256


def load(
    path: str | Path,
    *,
    arch: Any = None,
    device: str = "cpu",
    most_weights: int | None = None,
    plugins: Plugins | None = None,
) -> nn.Module:
    """The network of a ticket, in eval mode on `device`; pruned weights are 0.

    arch: for a ticket whose architecture was a file or class: a module to fill, a component, or
    "file.py:build" (which is executed). most_weights: refuse a ticket that asks for more (default:
    2^26, and 4,096 for each byte of the file). Raises StorageError for a file that is damaged or
    whose network does not have the bits it had when it was saved; PluginError and SpecError for an
    architecture or init that this machine does not have.
    """
    plugins = plugins or Plugins()
    ticket = file.read(path, most_weights)
    init = installed("init", ticket.header.init, plugins)
    if not callable(getattr(init, "values", None)):
        raise SpecError(f"init {ticket.header.init['name']} draws no weights from a seed")
    model = bare(ticket.header, arch, plugins, ticket.size).to(device)
    fill(model, ticket, init)
    if state_sha256(model) != ticket.header.sha256:
        raise StorageError(
            f"{path} gives other bits than it was saved with; another version of its architecture "
            f"({(ticket.header.arch or {}).get('name', 'given')}) or init may be installed here"
        )
    return model
