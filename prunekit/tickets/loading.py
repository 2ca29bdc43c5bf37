"""The network of a ticket: built, compared by shapes, drawn, and compared by bits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunekit.errors import SpecError, StorageError
from prunekit.gpu.devices import pick_device
from prunekit.network.laws import by_counter
from prunekit.resolve.faults import naming_faults
from prunekit.resolve.plugins import Plugins
from prunekit.tickets import file
from prunekit.tickets.architecture import build_unfilled, installed_component, plain_defaults
from prunekit.tickets.weights import check_fit, fill, state_sha256


@naming_faults(own_code=True)
@plain_defaults()
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
    "file.py:build" (which is executed). A module is changed only if all goes well. most_weights:
    refuse a ticket that asks for more (default: 2^26, and 4,096 for each byte of the file). Raises
    StorageError for a file that is damaged or whose network does not have the bits it had when it
    was saved; PluginError and SpecError for an architecture, init or device that this machine does
    not have.
    """
    plugins, target = plugins or Plugins(), pick_device(device)
    opened = file.opened(path)
    opened.refuse_more_than(most_weights)
    header = opened.header
    init = installed_component("init", header.origin.init, plugins)
    if not by_counter(init):
        raise SpecError(f"init {header.origin.init['name']} draws no weights from a seed")
    check = partial(check_fit, header=header, state=opened.state, arch_given=arch is not None)
    model = build_unfilled(header.origin, arch, plugins, opened.numbers, check)
    with unchanged_by_errors(model) if model is arch else contextlib.nullcontext():
        model.to(target).eval()
        fill(model, opened.decoded(), init)
        if state_sha256(model) != header.sha256:
            raise StorageError(
                f"{path} gives other bits than it was saved with; another version of its "
                f"architecture ({(header.origin.arch or {}).get('name', 'given')}) or init may be "
                "installed here"
            )
    return model


@contextlib.contextmanager
def unchanged_by_errors(model: nn.Module) -> Iterator[None]:
    """After an error the caller's module is as it was, device and modes included."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    training = {module: module.training for module in model.modules()}
    try:
        yield
    except BaseException:
        model.to(device).load_state_dict(before)
        for module, flag in training.items():
            module.training = flag
        raise
