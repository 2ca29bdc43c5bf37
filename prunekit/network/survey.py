"""Which parameters of a model are weights, which are not, and why: nothing is left out unsaid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError, warn
from prunekit.network.choice import Choice, chosen
from prunekit.network.computed import removal_of, uses_by_rule
from prunekit.network.names import Layer, layers_of, refuse_shapeless
from prunekit.network.static import by_name_only, looks_like_weight, own_name
from prunekit.network.storage import shared_with, unmaskable
from prunekit.network.taint import Use, is_frozen_mask, is_matrix

EXCLUDED = "excluded"
UNREACHED = "masked, but never reached by the forward pass"
SCALES = "multiplied with data entry by entry, no operand of a product"
NO_OPERAND = "no operand of a product, a convolution or a look-up"
LOST = "zeros of it are no zeros of the weight that is used"
TOLD = 0.01  # the share of all matrix entries from which a warning says what is left out


@attrs.frozen
class Matrix:
    """A parameter that is worth a line. why: in words. doubtful: whether it may be a weight."""

    name: str
    shape: tuple[int, ...]
    entries: int
    why: str
    doubtful: bool = False

    def __str__(self) -> str:
        return f"{self.name} {'×'.join(map(str, self.shape))} ({self.why})"


@attrs.frozen(eq=False)
class Survey:
    """What of a model is maskable.

    layers: name -> Layer of the maskable parameters, in definition order. floating: entries of
    all floating-point parameters. matrices: those that are not masked, were never reached, or
    whose zeros do not reach the weight that is used. lost: the maskable ones of the last kind.
    by_use: whether a forward pass decided. largest: the largest floating parameter that is left
    out, as text, or None. held: the entries (bool) of maskable parameters that are 0 where they
    are used whatever they are, by name: False there. normed: those divided by norms, see `Use`.
    """

    layers: dict[str, Layer]
    floating: int
    matrices: tuple[Matrix, ...]
    lost: tuple[str, ...]
    by_use: bool
    largest: str | None
    held: dict[str, Tensor] = attrs.field(factory=dict)
    normed: dict[str, int | None] = attrs.field(factory=dict)

    @property
    def maskable(self) -> int:
        """Number of maskable entries."""
        return sum(layer.parameter.numel() for layer in self.layers.values())

    @property
    def line(self) -> str:
        """`N of M floating entries are maskable; the largest left out: NAME shape`."""
        left = f"the largest left out: {self.largest}" if self.largest else "none is left out"
        return f"{self.maskable:,} of {self.floating:,} floating entries are maskable; {left}"

    @property
    def unreached(self) -> list[str]:
        """The maskable parameters that the forward pass never reached."""
        return [m.name for m in self.matrices if m.why == UNREACHED]

    @property
    def doubtful(self) -> list[Matrix]:
        """What may be a weight and is not masked, or is masked and was never reached."""
        return [matrix for matrix in self.matrices if matrix.doubtful]

    def warn(self) -> None:
        """Say it where doubtful matrices are more than a hundredth of all."""
        doubtful = sorted(self.doubtful, key=lambda matrix: -matrix.entries)
        entries = sum(matrix.entries for matrix in doubtful)
        outside = sum(m.entries for m in doubtful if m.name not in self.layers)
        if entries <= TOLD * (self.maskable + outside):
            return
        more = f" and {len(doubtful) - 3} more" if len(doubtful) > 3 else ""
        first = next((m.name for m in doubtful if m.why in (SCALES, NO_OPERAND)), None)
        add = f'include=["*", "{first}"] masks one too, ' if first else ""
        mine = first or any(m.name in self.layers for m in doubtful)
        meant = "exclude says that it is meant" if mine else "only parameters are masked"
        warn(
            f"{entries:,} entries of matrices are left out or were never reached: "
            f"{', '.join(map(str, doubtful[:3]))}{more}; {add}{meant}"
        )

    def warn_of_names(self) -> None:
        """Say it where names alone said of more than a hundredth of the weights what they are."""
        named = [layer for layer in self.layers.values() if by_name_only(layer)]
        entries = sum(layer.parameter.numel() for layer in named)
        if not self.by_use and entries > TOLD * self.maskable:
            more = f" and {len(named) - 1} more" if len(named) > 1 else ""
            be = "were" if more else "was"
            warn(
                f"{named[0].name}{more} {be} decided by name; give batches or input_shape to see "
                "what the model does"
            )

    def refuse_lost(self, model: nn.Module) -> None:
        """SpecError where zeros of a maskable parameter are no zeros of the weight that is used."""
        if not self.lost:
            return
        more = f" and {len(self.lost) - 2} more" if len(self.lost) > 2 else ""
        kind = type(self.layers[self.lost[0]].module)
        line = removal_of(model, self.layers[self.lost[0]])
        do = f"{line} removes the parametrization, or leave it out: " if line else "leave it out: "
        raise SpecError(
            f"pruned weights of {', '.join(self.lost[:2])}{more} would not be 0 where they are "
            "used, for the weight is computed from all of them (orthogonal maps, standardized "
            f"weights, adapters); {do}exclude={list(self.lost)}"
            + (f", or the type: exclude=[{kind.__name__}]" if self._only_lost(kind, model) else "")
        )

    def _only_lost(self, kind: type[nn.Module], model: nn.Module) -> bool:
        """Whether `kind` leaves out what is lost, all of it and nothing else."""
        inside = chosen("prune.exclude", [kind], model, self.layers).matched
        return inside == set(self.lost)


def survey(
    model: nn.Module,
    include: Sequence[Choice] | None = None,
    exclude: Sequence[Choice] | None = None,
    uses: Mapping[str, Use] | None = None,
) -> Survey:
    """What of `model` is maskable: by use where a pass found one (`uses_of`), else by rule.

    include, exclude: see `maskable_layers`. Raises SpecError for a choice that names nothing.
    """
    refuse_shapeless(model)
    layers = layers_of(model)
    included = chosen("prune.include", include, model, layers)
    excluded = chosen("prune.exclude", exclude, model, layers)
    shared = shared_with(layers)
    known = uses_by_rule(model, layers) if uses is None else dict(uses)
    if uses is not None and any(not use.reached for use in uses.values()):
        unseen = {name: layers[name] for name in layers if not known[name].reached}
        known |= {n: u for n, u in uses_by_rule(model, unseen).items() if not known[n].reached}
    found, matrices, lost = {}, [], []
    for name, layer in layers.items():
        use, why = known.get(name), unmaskable(layer.parameter)
        why = why or (f"the memory of {shared[name]}" if name in shared else None)
        wanted = _is_weight(layer, use) and (not included or name in included)
        wanted = (wanted or name in included.full) and why is None and name not in excluded
        if wanted:
            found[name] = layer
            if use is not None and not use.zeros:
                lost.append(name)
        reached = uses is None or uses[name].reached
        told = _matrix(layer, use, why, wanted, reached, bool(included) or name in excluded)
        if told is not None:
            matrices.append(told)
    floats = {n: la.parameter for n, la in layers.items() if la.parameter.is_floating_point()}
    left = [(p.numel(), n) for n, p in floats.items() if n not in found and n not in shared]
    largest = max(left, key=lambda one: one[0], default=None)
    total = sum(p.numel() for n, p in floats.items() if n not in shared)
    text = f"{largest[1]} {tuple(floats[largest[1]].shape)}" if largest else None
    every = (*matrices, *_integer_buffers(model), *_foreign(known))
    held = {n: use.held for n, use in known.items() if n in found and use.held is not None}
    normed = {n: use.normed[0] for n, use in known.items() if n in found and use.normed}
    by_use = uses is not None
    return Survey(found, total, every, tuple(lost), by_use, text, held, normed)


def _is_weight(layer: Layer, use: Use | None) -> bool:
    """By use where there is one and it is understood, else by rule."""
    if use is None or not use.reached or use.opaque:
        return looks_like_weight(layer)
    if use.operand:
        return True
    return use.looked_up and not _is_bias(own_name(layer.name))


def _is_bias(name: str) -> bool:
    """Whether a looked-up parameter is added: the bias of an expert, say."""
    return name.endswith("bias") or name.rstrip("0123456789") in ("b", "bias")


def _matrix(
    layer: Layer, use: Use | None, why: str | None, wanted: bool, reached: bool, chosen_: bool
) -> Matrix | None:
    """The line that a parameter is worth; None for one that is masked as it should be, and for
    vectors and gains."""
    parameter, looks = layer.parameter, looks_like_weight(layer)
    shape, entries = tuple(parameter.shape), parameter.numel()
    if wanted and reached:
        lost = use is not None and not use.zeros
        return Matrix(layer.name, shape, entries, LOST, True) if lost else None
    if wanted:
        return Matrix(layer.name, shape, entries, UNREACHED, True)
    if not is_matrix(parameter) and not _is_weight(layer, use):
        return None
    if why is not None:
        return Matrix(layer.name, shape, entries, why, not why.startswith("the memory"))
    if _is_weight(layer, use):
        text = LOST if use is not None and not use.zeros else EXCLUDED
        return Matrix(layer.name, shape, entries, f"{EXCLUDED}; {text}" if text == LOST else text)
    scaled = use is not None and use.scaled
    table = isinstance(layer.module, nn.Embedding | nn.EmbeddingBag)
    looks = looks or (scaled and looks_like_weight(layer, scaled))
    doubtful = looks and not table and not chosen_ and not is_frozen_mask(parameter)
    return Matrix(layer.name, shape, entries, SCALES if scaled else NO_OPERAND, doubtful)


def _foreign(uses: Mapping[str, Use]) -> list[Matrix]:
    """What data are multiplied with and is no parameter."""
    return [
        Matrix(name, use.shape, math.prod(use.shape), use.foreign, True)
        for name, use in uses.items()
        if use.foreign
    ]


def _integer_buffers(model: nn.Module) -> list[Matrix]:
    """Matrices of small integers, as quantized layers hold their weights."""
    found = []
    for name, buffer in _buffers(model).items():
        small = buffer.element_size() == 1 and buffer.dtype != torch.bool
        if small and is_matrix(buffer):
            dtype = str(buffer.dtype).removeprefix("torch.")
            found.append(Matrix(name, tuple(buffer.shape), buffer.numel(), dtype, True))
    return found


def _buffers(model: nn.Module) -> dict[str, Any]:
    """The buffers, and what quantized layers pack away."""
    held: dict[str, Any] = dict(model.named_buffers())
    for name, module in model.named_modules():
        if "quantized" in type(module).__module__ and callable(getattr(module, "weight", None)):
            held[f"{name}.weight"] = module.weight()
    return held
