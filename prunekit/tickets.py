"""A network that is nothing but a seed and its bits: save it from a run, load it anywhere.

A ticket holds the names and options of architecture and init, a seed, one bit a weight, for
redrawn weights the number of their draw (or, under a law of one magnitude, a sign), the rest of
the state dict, and the sha256 of the whole. The kept weights themselves are drawn again.
Nothing in a ticket is executed, and loading one imports nothing that trains.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prunekit import ticketfile
from prunekit.entropy import entropy
from prunekit.errors import SpecError, StorageError
from prunekit.plugins import Plugins
from prunekit.rebuild import bare, fill, installed, state_sha256

if TYPE_CHECKING:
    from torch import nn


def save(run: str | Path, path: str | Path, *, plugins: Plugins | None = None) -> dict[str, Any]:
    """Write the ticket of a finished run; returns what `info` says of it.

    Every kept weight is compared with its draw first: SpecError where one differs, as after
    training of weights, and for weights that no seed gives (`init default`, pretrained).
    """
    from prunekit.shipping import ticket_of_run

    ticketfile.write(ticket_of_run(Path(run), plugins or Plugins()), path)
    return info(path)


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
    ticket = ticketfile.read(path, most_weights)
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


def info(path: str | Path) -> dict[str, Any]:
    """What a ticket says, and how its bytes are spent; builds nothing.

    `mask_bits` is bits a weight, with `mask_entropy` that of each layer's density;
    `value_bits` is bits a kept weight.
    """
    tensors, header = ticketfile.opened(path)
    spent = {name: tensor.nbytes for name, tensor in tensors.items()}
    state = sum(size for name, size in spent.items() if name.startswith(ticketfile.STATE))
    masks = sum(spent.get(name, 0) for name in ticketfile.MASKS)
    least = sum(
        entropy(np.array([part.kept, part.total - part.kept], np.float64)) for part in header.parts
    )
    return {
        "arch": header.arch,
        "input_shape": list(header.input_shape),
        "classes": header.classes,
        "norm": header.norm,
        "init": header.init,
        "seed": header.seed,
        "weights": header.total,
        "kept": header.kept,
        "density": header.kept / max(header.total, 1),
        "values": header.values,
        "bytes": Path(path).stat().st_size,
        "mask_bytes": masks,
        "value_bytes": sum(spent.values()) - masks - state,
        "state_bytes": state,
        "mask_bits": 8 * masks / max(header.total, 1),
        "mask_entropy": least / max(header.total, 1),
        "value_bits": 8 * (sum(spent.values()) - masks - state) / max(header.kept, 1),
        "sha256": header.sha256,
    }
