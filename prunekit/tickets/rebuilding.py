"""From a ticket back to a network: build it, draw its kept weights, put the rest in, compare.

Needs the architecture's and the init's plugin and nothing that trains.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from prunekit.draws import words_at
from prunekit.errors import PluginError, PrunekitError, SpecError, StorageError
from prunekit.network import Layer, owned_parameters
from prunekit.plugins import Plugins
from prunekit.structure import build_options, component_from
from prunekit.tensorfile import digest
from prunekit.tickets.file import Ticket
from prunekit.tickets.header import Header, Part
from prunekit.tickets.rans import Integers

CHUNK = 1 << 22  # weights drawn at once: words take 8 bytes each


def installed(kind: str, table: Mapping[str, Any], plugins: Plugins) -> Any:
    """The component of an installed plugin; a ticket can name no class and no file.

    Raises PluginError for another name, SpecError for a wrong option.
    """
    options = dict(table)
    name = options.pop("name")
    if ":" in name:
        raise PluginError(f"a ticket may name plugins only, not {name!r:.80}")
    component = build_options(plugins.component(kind, name), options, kind, name)
    if getattr(component, "pretrained", False):
        raise SpecError(f"{kind} {name} would load trained weights; a ticket cannot ask for that")
    return component


def bare(header: Header, arch: Any, plugins: Plugins, size: int) -> nn.Module:
    """The network with weights that mean nothing yet, in eval mode.

    arch: None, or the caller's own word: a module, a component, or what `--arch` takes. size:
    parameters that are expected. Raises SpecError when it cannot be built, StorageError when it
    is far larger than that.
    """
    if isinstance(arch, nn.Module):
        return arch.eval()
    if arch is not None:
        arch = component_from("arch", arch, plugins)
    elif header.arch is None:
        raise SpecError(
            "this ticket's architecture is a file or class of its owner; give it: "
            "load(path, arch=...) or --arch file.py:build"
        )
    else:
        arch = installed("arch", header.arch, plugins)
    try:
        with torch.random.fork_rng(devices=[]), no_larger_than(size):
            model = arch.build(header.input_shape, header.classes)
    except PrunekitError:
        raise
    except Exception as error:  # anyone's architecture, and options that nobody has tried
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SpecError(f"the ticket's architecture cannot be built ({reason})") from None
    if not isinstance(model, nn.Module):
        raise SpecError(f"arch.build returned {type(model).__name__}, expected an nn.Module")
    return model.eval()


@contextlib.contextmanager
def no_larger_than(size: int) -> Iterator[None]:
    """Stop building a network as soon as it has clearly more than `size` parameters.

    What a ticket holds as one number (biases, norms, tokens) may be as many again, and 2^24 more.
    A parameter counts as 1,024 at least, so that endless small ones end too.
    """
    room, used = 2 * size + 2**24, 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal used
        used += max(1024, 0 if parameter is None else parameter.numel())
        if used > room:
            raise StorageError(f"the ticket has {size:,} parameters, its architecture many more")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def drawn(layer: Layer, init: Any, seed: int, elements: Tensor, draw: int | Tensor) -> Tensor:
    """Values (n,) of the weights at flat indices `elements` (n,), from draw number `draw`."""
    return init.values(layer, words_at(seed, "init", layer.name, elements, draw))


@torch.no_grad()
def weights_of(
    part: Part, layer: Layer, init: Any, header: Header, mask: Integers, extra: Integers | None
) -> Tensor:
    """The weights of one parameter, flat, float32: pruned ones are +0."""
    device = layer.parameter.device
    weights = torch.zeros(part.total, device=device)
    kept = np.flatnonzero(mask)
    for begin in range(0, len(kept), CHUNK):
        elements = torch.from_numpy(kept[begin : begin + CHUNK]).to(device)
        some = None if extra is None else torch.from_numpy(extra[begin : begin + CHUNK]).to(device)
        draw = some if header.values == "draws" and some is not None else 0
        values = drawn(layer, init, header.seed, elements, draw)
        if header.values == "signs" and some is not None:
            values = torch.where(some, -values, values)
        weights[elements] = values
    return weights


@torch.no_grad()
def fill(model: nn.Module, ticket: Ticket, init: Any) -> None:
    """Give `model` the ticket's weights and other state, in place.

    Raises StorageError when a name, shape or type does not fit the model.
    """
    header, layers = ticket.header, {found[0]: Layer(*found) for found in owned_parameters(model)}
    wanted = own_state(model)
    names = [part.name for part in header.parts] + [*ticket.state, *header.constants]
    for name in {*names} ^ {*wanted}:
        where = "has nothing for" if name in wanted else "is for another network: it has"
        raise StorageError(f"the ticket {where} {name!r}; get or make it again")
    extras: list[Integers | None] = [*ticket.extra] or [None] * len(header.parts)
    for part, mask, extra in zip(header.parts, ticket.masks, extras, strict=True):
        _must_fit(part.name, part.shape, torch.float32, wanted[part.name])
        values = weights_of(part, layers[part.name], init, header, mask, extra)
        wanted[part.name].copy_(values.reshape(part.shape))
    for name, tensor in ticket.state.items():
        _must_fit(name, tuple(tensor.shape), tensor.dtype, wanted[name])
        wanted[name].copy_(tensor)
    for name, value in header.constants.items():
        _fill_with(name, value, wanted[name])


def _fill_with(name: str, value: float, wanted: Tensor) -> None:
    try:
        wanted.fill_(value)
    except (RuntimeError, OverflowError):
        what = f"{value!r:.40}, which {wanted.dtype} cannot hold"
        raise StorageError(f"the ticket's {name!r} is {what}; get or make it again") from None


def _must_fit(name: str, shape: tuple[int, ...], dtype: torch.dtype, wanted: Tensor) -> None:
    if shape != tuple(wanted.shape) or dtype != wanted.dtype:
        have = f"{dtype} {shape}, the network has {wanted.dtype} {tuple(wanted.shape)}"
        raise StorageError(f"the ticket's {name!r} is {have}; get or make it again")


def own_state(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict of `model`, tied tensors under the name their owner has.

    Raises SpecError for a state that is no tensor.
    """
    own: dict[str, Tensor] = {}
    owners = {name for name, *_ in owned_parameters(model)}
    parameters = {id(p) for p in model.parameters()}
    for name, value in model.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            raise SpecError(f"{name} is no tensor; a ticket holds tensors only")
        if id(value) not in parameters or name in owners:
            own[name] = value.detach()
    return own


def state_sha256(model: nn.Module) -> str:
    """sha256 of the state_dict: names, dtypes, shapes and bytes, in order of the names."""
    return digest({name: value.cpu() for name, value in model.state_dict().items()}, {})
