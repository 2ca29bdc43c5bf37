"""The network that a ticket names, built with weights that mean nothing yet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from prunekit.contracts import pretrained
from prunekit.errors import PluginError, PrunekitError, SpecError, StorageError
from prunekit.network.names import refuse_hollow, unwrapped
from prunekit.resolve.plugins import Plugins
from prunekit.resolve.structure import build_options, component_from
from prunekit.tickets.header import Origin


@contextlib.contextmanager
def plain_defaults() -> Iterator[None]:
    """New tensors are float32 on the CPU, whatever the caller's defaults of torch are."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)


def installed_component(kind: str, table: Mapping[str, Any], plugins: Plugins) -> Any:
    """The component of an installed plugin; a ticket can name no class and no file.

    Raises PluginError for another name, SpecError for a wrong option.
    """
    options = dict(table)
    name = options.pop("name")
    if ":" in name:
        raise PluginError(f"a ticket may name plugins only, not {name!r:.80}")
    component = build_options(plugins.component(kind, name), options, kind, name)
    if pretrained(component):
        raise SpecError(f"{kind} {name} would load trained weights; a ticket cannot ask for that")
    return component


def build_unfilled(
    origin: Origin, arch: Any, plugins: Plugins, size: int, check: Callable[[nn.Module], None]
) -> nn.Module:
    """The network with weights that mean nothing yet.

    arch: None, or the caller's own: a module, a component, or what `--arch` takes. size:
    parameters that are expected. check: raises for a network of other shapes; it sees one without
    memory first. Raises SpecError when it cannot be built, StorageError when it is far larger than
    `size`.
    """
    if isinstance(arch, nn.Module):
        arch = unwrapped(arch)
        refuse_hollow(arch)
        check(arch)
        return arch
    if arch is not None:
        arch = component_from("arch", arch, plugins)
    elif origin.arch is None:
        raise SpecError(
            "this ticket's architecture is a file or class of its owner; give it: "
            "load(path, arch=...) or --arch file.py:build"
        )
    else:
        arch = installed_component("arch", origin.arch, plugins)
        build_on_meta(arch, origin, size, check)
    try:
        model = build_within(arch, origin, size)
    except PrunekitError:
        raise
    except Exception as error:  # anyone's architecture, and options that nobody has tried
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SpecError(f"the ticket's architecture cannot be built ({reason})") from None
    if not isinstance(model, nn.Module):
        raise SpecError(f"arch.build returned {type(model).__name__}, expected an nn.Module")
    check(model)
    return model


def build_within(arch: Any, origin: Origin, size: int) -> Any:
    """What `arch` builds; chance stays as it was."""
    with torch.random.fork_rng(devices=[]), no_larger_than(size):
        return arch.build(origin.input_shape, origin.classes)


def build_on_meta(arch: Any, origin: Origin, size: int, check: Callable[[nn.Module], None]) -> None:
    """Build it where tensors take no memory, and check it, if it can be built there."""
    try:
        with torch.device("meta"):
            model = build_within(arch, origin, size)
    except StorageError:
        raise
    except Exception:  # some networks look at values while they are built
        return
    if isinstance(model, nn.Module):
        check(model)


@contextlib.contextmanager
def no_larger_than(size: int) -> Iterator[None]:
    """Stop building a network as soon as it has clearly more than `size` numbers.

    What a ticket holds as one number (biases, norms, tokens) or not at all (buffers that no state
    has) may be as many again, and 2^24 more. A tensor counts as 1,024 at least, so that endless
    small ones end too.
    """
    room, used = 2 * size + 2**24, 0
    too_many = f"the ticket has {size:,} parameters, its architecture many more"

    def count(module: nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal used
        used += max(1024, 0 if tensor is None else tensor.numel())
        if used > room:
            raise StorageError(too_many)

    handles = (
        register_module_parameter_registration_hook(count),
        register_module_buffer_registration_hook(count),
    )
    try:
        yield
    except Exception:
        if used > room:  # whatever the architecture made of it
            raise StorageError(too_many) from None
        raise
    finally:
        for handle in handles:
            handle.remove()
