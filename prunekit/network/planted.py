"""Zeros planted in a parameter: whether they are zeros of what it became, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from prunekit.errors import out_of_memory
from prunekit.network.replay import Made, place_of, replayed, seen_as
from prunekit.network.taint import COMPUTED, Taint, Values

DIVISIONS = ("div", "reciprocal", "rsqrt", "pow", "true_divide", "divide")
MOST = 64  # operands of one parameter that are held to be looked at


@attrs.frozen(eq=False)
class Operand:
    """What a parameter became. zeros: whether its zeros are zeros of it, by the rules of chains."""

    tensor: Tensor
    made: Made
    zeros: bool


class Chains(Values):
    """Remembers how values were made of parameters, and tries operands on planted zeros."""

    def __init__(self, parameters: Any, constants: Any) -> None:
        super().__init__(parameters, constants)
        self.operands: dict[str, list[Operand]] = {name: [] for name in parameters}
        self.direct: set[str] = set()

    def made(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], given: Sequence[Tensor]
    ) -> Made | None:
        """How an operation makes its first output; None where that cannot be done again."""
        taints = [(tensor, self.of(tensor)) for tensor in given]
        written = func._schema.is_mutable
        if written and not (func._schema.name.endswith("_") and taints[0][1].made):
            return None
        parts = {self.key(tensor): taint.made for tensor, taint in taints if taint.made}
        if any(t.sources and not (t.made or self.key(x) in self.owned) for x, t in taints):
            return None
        place = taints[0][1].made.place if written else place_of(given[0])
        return Made(func, args, kwargs, parts, place, written=written)

    def made_at(self, taint: Taint, made: Made | None, which: int, output: Tensor) -> Taint:
        """What is known of the output of number `which`, with how it was made."""
        if made is None:
            return taint
        place = made.place if made.written else place_of(output)
        return attrs.evolve(taint, made=attrs.evolve(made, place=place, which=which))

    def count(self, sources: Mapping[str, bool], tensor: Tensor | None = None) -> None:
        """They are operands, as which they became `tensor`."""
        for name in sources:
            self.uses[name].operand = True
        self.became(sources, tensor)

    def became(self, sources: Mapping[str, bool], tensor: Tensor | None) -> None:
        """Parameters were used as `tensor`; None = it is not known as what."""
        made = None if tensor is None else self.of(tensor).made
        for name, zeros in sources.items():
            if tensor is None or made is None or len(self.operands[name]) >= MOST:
                self.direct.add(name)
                self.uses[name].zeros &= zeros
            else:
                self._keep(self.operands[name], Operand(_unexpanded(tensor), made, zeros))

    def _keep(self, operands: list[Operand], new: Operand) -> None:
        for old in operands:
            alike = old.tensor.shape == new.tensor.shape and old.zeros == new.zeros
            if alike and torch.equal(old.tensor != 0, new.tensor != 0):
                return
        operands.append(new)

    def settle(self) -> None:
        """Say of each parameter whether its zeros stay, and which entries are 0 whatever they
        are."""
        for name, operands in self.operands.items():
            parameter, use = self.parameters[name], self.uses[name]
            unsure = [operand for operand in operands if not operand.zeros]
            divided = any(divides(operand.made) for operand in operands)
            emptier = any(_emptier(operand.tensor, parameter) for operand in operands)
            if not (unsure or divided or emptier):
                continue
            found = [self._alive(name, operand) for operand in operands]
            for operand, alive in zip(operands, found):
                use.zeros &= operand.zeros or alive is not None
            used = [alive for alive in found if alive is not None]
            if name in self.direct or len(used) < len(found):
                continue
            alive = torch.stack(used).any(0)
            if not bool(alive.all()):
                use.held = alive

    def _alive(self, name: str, operand: Operand) -> Tensor | None:
        """The entries (bool) that are not 0 in `operand`, or would not be for other values.

        None where zeros of the parameter are not those of the operand.
        """
        others = {n: _filled(p) if p.requires_grad else p for n, p in self.parameters.items()}
        value = _filled(self.parameters[name])

        def become(planted: Tensor) -> Tensor:
            leaves = {**others, name: planted}
            out = replayed(operand.made, lambda t: self._leaf(t, leaves), {})
            return seen_as(out, operand.made.place, operand.tensor)

        try:
            alive = entries_of(become, value)
            if alive is not None and not self.uses[name].normed:
                self.uses[name].normed = norms_in(become, value)
            if alive is None or bool(alive.all()):
                return alive
            for factor in (16, -16):
                more = entries_of(become, value * factor)
                alive = alive if more is None else alive | more
        except Exception as error:  # anyone's operation may raise anything on other values
            if short := out_of_memory(error):
                raise short from error
            return None
        return alive

    def _leaf(self, tensor: Tensor, leaves: Mapping[str, Tensor]) -> Tensor | None:
        if self.key(tensor) not in self.owned:
            return None
        (name,) = self.owners(tensor)
        return seen_as(leaves[name], place_of(self.parameters[name]), tensor)


def entries_of(become: Callable[[Tensor], Tensor], value: Tensor) -> Tensor | None:
    """Which entries of `value` are not 0 in what it becomes, bool; None where zeros do not stay.

    Half of the entries are 0 at a time, those whose number has a 0 at a place of its binary form,
    then the others: what is not 0 either way is of more than one entry, and what is not 0 once
    says, place by place, of which it is.
    """
    whole, none = become(value), become(torch.zeros_like(value))
    fixed = (none != 0) & none.isfinite()
    if not bool(whole.isfinite().all()) or bool((fixed & (none != whole)).any()):
        return None
    mine = (whole != 0) & ~fixed
    number = torch.arange(value.numel(), device=value.device).reshape(value.shape)
    code = torch.zeros_like(mine, dtype=torch.int64)
    for place in range(max(value.numel() - 1, 0).bit_length()):
        half = (number >> place) & 1 == 1
        with_, without = (become(value * m) for m in (half, ~half))
        on, off = ((part != 0) & part.isfinite() for part in (with_, without))
        if bool((mine & (on == off)).any()):
            return None
        code |= on.to(torch.int64) << place
    alive = torch.zeros(value.numel(), dtype=torch.bool, device=value.device)
    alive[code[mine]] = True
    return alive.reshape(value.shape)


def norms_in(become: Callable[[Tensor], Tensor], value: Tensor) -> tuple[int | None, ...]:
    """The axis of which a slice of zeros becomes NaN, None where it takes all of them; () if none
    does."""
    if bool(become(torch.zeros_like(value)).isfinite().all()):
        return ()
    for axis in range(value.ndim):
        planted = value.clone()
        planted.select(axis, 0).zero_()
        if not bool(become(planted).isfinite().all()):
            return (axis,)
    return (None,)


def divides(made: Made) -> bool:
    """Whether a value was divided on its way."""
    todo, known = [made], {id(made)}
    while todo:
        one = todo.pop()
        if one.func._schema.name.partition("::")[2].rstrip("_") in DIVISIONS:
            return True
        new = [part for part in one.parts.values() if id(part) not in known]
        known.update(map(id, new))
        todo += new
    return False


def _filled(parameter: Tensor) -> Tensor:
    """The values of a parameter, with a number in the place of each 0; laid out as it is."""
    if not parameter.is_floating_point() or parameter.layout != torch.strided:
        return parameter.detach()
    held = parameter.detach()
    size = held.abs().mean() if held.numel() else held.sum()
    return torch.where(held == 0, torch.where(size > 0, size, 1).to(held), held)


def _unexpanded(tensor: Tensor) -> Tensor:
    """One of each entry that is repeated."""
    for dim, step in enumerate(tensor.stride()):
        if step == 0 and tensor.shape[dim] > 1:
            tensor = tensor.narrow(dim, 0, 1)
    return tensor


def _emptier(operand: Tensor, parameter: Tensor) -> bool:
    """Whether a larger share of an operand is 0 than of its parameter."""
    some = int(torch.count_nonzero(operand)) * parameter.numel()
    return some < int(torch.count_nonzero(parameter)) * operand.numel()


def computed(taint: Taint) -> bool:
    """Whether a value is worth remembering how it was made."""
    return taint.kind == COMPUTED and bool(taint.sources)
