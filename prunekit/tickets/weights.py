"""From a ticket back to a network: draw its kept weights, put the rest in, compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.draws.chance import words_at
from prunekit.errors import SpecError, StorageError
from prunekit.network.names import Layer, layers_of, parameters_of, state_names, state_of
from prunekit.storage.tensorfile import digest
from prunekit.tickets.coding.rans import Integers
from prunekit.tickets.header import Header, Part
from prunekit.tickets.ticket import Ticket

CONSTANT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)
"""What may be stored as one number, where all elements are the same."""
CHUNK = 1 << 22  # weights drawn at once: words take 8 bytes each


def drawn(layer: Layer, init: Any, seed: int, elements: Tensor, draw: int | Tensor) -> Tensor:
    """Values (n,) of the weights at flat indices `elements` (n,), from draw number `draw`."""
    return init.quantile(layer)(words_at(seed, "init", layer.name, elements, draw))


def off_their_draw(
    layer: Layer, init: Any, seed: int, weight: Tensor, mask: Tensor, draw: Tensor | None
) -> int:
    """How many kept weights (float32) of one parameter have other bits than their draw."""
    elements = torch.nonzero(mask.reshape(-1))[:, 0]
    numbers = 0 if draw is None else draw.reshape(-1)[elements].long()
    values, kept = drawn(layer, init, seed, elements, numbers), weight.reshape(-1)[elements]
    return int(torch.count_nonzero(kept.view(torch.int32) != values.view(torch.int32)))


def stands_as_drawn(layer: Layer, init: Any, seed: int, weight: Tensor, kept: Tensor) -> bool:
    """Whether a parameter without a mask still has the initial values of all its `kept` weights."""
    return weight.dtype == torch.float32 and not off_their_draw(
        layer, init, seed, weight, kept, None
    )


def but_for(padding: int | None, mask: Tensor, weight: Tensor) -> Tensor:
    """The mask without what is 0 in the row that stands for padding."""
    if padding is None:
        return mask
    mask = mask.clone()
    mask[padding] &= weight[padding] != 0
    return mask


@torch.no_grad()
def weights_of(
    part: Part, layer: Layer, init: Any, header: Header, mask: Integers, codes: Integers | None
) -> Tensor:
    """The weights of one parameter, flat, float32: pruned ones are +0."""
    device = layer.parameter.device
    weights = torch.zeros(part.total, dtype=torch.float32, device=device)
    kept = np.flatnonzero(mask)
    for begin in range(0, len(kept), CHUNK):
        elements = torch.from_numpy(kept[begin : begin + CHUNK]).to(device)
        some = None if codes is None else torch.from_numpy(codes[begin : begin + CHUNK]).to(device)
        draw = some if header.values == "draws" and some is not None else 0
        values = drawn(layer, init, header.origin.seed, elements, draw)
        if header.values == "signs" and some is not None:
            values = torch.where(some, -values, values)
        weights[elements] = values
    return weights


def check_fit(
    model: nn.Module, header: Header, state: Mapping[str, Tensor], arch_given: bool
) -> None:
    """StorageError where a name, shape or type of a ticket is not that of `model`.

    arch_given: whether the reader named the architecture, and so may have named the wrong one.
    """
    remedy = (
        "give the architecture that it was saved with" if arch_given else "get or make it again"
    )
    wanted = own_state(model)
    names = [*(part.name for part in header.parts), *state, *header.constants]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise StorageError(f"the ticket has {twice[0]!r} twice; get or make it again")
    for name in sorted({*names} ^ {*wanted}):
        where = "has nothing for" if name in wanted else "is for another network: it has"
        raise StorageError(f"the ticket {where} {name!r}; {remedy}")
    forms = {part.name: (part.shape, torch.float32) for part in header.parts}
    forms |= {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()}
    for name, (shape, dtype) in forms.items():
        there = wanted[name]
        if shape != tuple(there.shape) or dtype != there.dtype:
            have = f"{dtype} {shape}, the network has {there.dtype} {tuple(there.shape)}"
            raise StorageError(f"the ticket's {name!r} is {have}; {remedy}")


@torch.no_grad()
def fill(model: nn.Module, ticket: Ticket, init: Any) -> None:
    """Give `model`, which fits, the ticket's weights and other state, in place."""
    header, layers, wanted = ticket.header, layers_of(model), own_state(model)
    for part, mask, codes in zip(header.parts, ticket.masks, ticket.codes, strict=True):
        values = weights_of(part, layers[part.name], init, header, mask, codes)
        wanted[part.name].copy_(values.reshape(part.shape))
    for name, tensor in ticket.state.items():
        wanted[name].copy_(tensor)
    for name, value in header.constants.items():
        _fill_with(name, value, wanted[name])


def _fill_with(name: str, value: float, wanted: Tensor) -> None:
    try:
        wanted.fill_(value)
    except (RuntimeError, OverflowError):
        what = f"{value!r:.40}, which {wanted.dtype} cannot hold"
        raise StorageError(f"the ticket's {name!r} is {what}; get or make it again") from None


def own_state(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict of `model`, tied tensors under the name their owner has.

    Names are those without wrappers. Raises SpecError for a state that is no tensor.
    """
    own: dict[str, Tensor] = {}
    owners, names = parameters_of(model), state_names(model)
    parameters = {id(p) for p in owners.values()}
    for path, value in model.state_dict(keep_vars=True).items():
        name = names[path]
        if not isinstance(value, Tensor):
            raise SpecError(f"{name} is no tensor; a ticket holds tensors only")
        if id(value) not in parameters or name in owners:
            own[name] = value.detach()
    return own


def state_sha256(model: nn.Module) -> str:
    """sha256 of the state_dict: names, dtypes, shapes and bytes, in order of the names."""
    return digest({name: value.cpu() for name, value in state_of(model).items()}, {})


def is_constant(tensor: Tensor) -> bool:
    """Whether all elements have the bits of one finite number."""
    flat = tensor.reshape(-1)
    if tensor.dtype not in CONSTANT_TYPES or not flat.numel() or not bool(torch.isfinite(flat[0])):
        return False
    return bool((flat == flat[0]).all()) and bool((flat.signbit() == flat[0].signbit()).all())
