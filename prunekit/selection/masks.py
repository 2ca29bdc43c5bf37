"""Masks: which weights are kept, as a mapping from parameter name to bool tensor."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from prunekit.errors import SpecError, StorageError
from prunekit.network.matching import renamed
from prunekit.network.survey import Survey
from prunekit.selection.holding import Held, fitting, hold, warn_of_adapters, write_zeros
from prunekit.selection.schedule import kept_of
from prunekit.storage.runfolder import RunFolder
from prunekit.storage.tensorfile import read_tensors, write_tensors
from prunekit.storage.texts import parse_json

DAMAGED = (KeyError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError)
"""What shapes raise that are none, or not those of the bytes beside them."""


@attrs.frozen
class LayerCount:
    """How much of one layer is kept; density is the fraction, 0 for an empty tensor."""

    name: str
    kept: int
    total: int

    @property
    def density(self) -> float:
        return self.kept / self.total if self.total else 0.0


class Masks(Mapping[str, Tensor]):
    """Parameter name -> bool tensor of the parameter's shape, True = kept.

    asked: the density that was asked for, in (0, 1]; an inexact sampler may keep another. survey:
    what of the model is maskable, and what not. Both None where nobody said. Raises SpecError for
    a tensor that is not bool.
    """

    def __init__(
        self,
        masks: Mapping[str, Tensor],
        asked: float | None = None,
        survey: Survey | None = None,
    ) -> None:
        if not isinstance(masks, Mapping):
            raise SpecError(f"masks map parameter names to bool tensors: {type(masks).__name__}")
        for name, mask in masks.items():
            if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
                given = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
                raise SpecError(f"the mask of {name} must be a bool tensor: {given}; use `s > t`")
        self._masks = dict(masks)
        self.asked, self.survey = asked, survey

    def __getitem__(self, name: str) -> Tensor:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    @property
    def kept(self) -> int:
        """Number of weights kept."""
        return sum(count_kept(mask) for mask in self.values())

    @property
    def total(self) -> int:
        """Number of maskable weights, N."""
        return sum(mask.numel() for mask in self.values())

    @property
    def density(self) -> float:
        """Fraction kept, in [0, 1]."""
        return self.kept / self.total if self.total else 0.0

    def per_layer(self) -> list[LayerCount]:
        """Kept and total weights of each parameter, in definition order."""
        return [LayerCount(name, count_kept(m), m.numel()) for name, m in self.items()]

    def __repr__(self) -> str:
        empty = sum(1 for layer in self.per_layer() if layer.total and not layer.kept)
        note = f", {empty} empty" if empty else ""
        other = self.asked is not None and kept_of(self.asked, self.total) != self.kept
        asked = f", asked {self.asked:.4g}" if other else ""
        return (
            f"Masks(kept {self.kept:,} of {self.total:,} = density {self.density:.4g}{asked}, "
            f"{len(self)} layer{'s' * (len(self) != 1)}{note})"
        )

    def __str__(self) -> str:
        return f"{self!r}\n{self.survey.line}" if self.survey else repr(self)

    def digest(self) -> str:
        """sha256 over names, shapes and bits: equal masks, equal digest."""
        whole = hashlib.sha256()
        for name, mask in self.items():
            whole.update(f"{name}{tuple(mask.shape)}".encode())
            whole.update(pack(mask).tobytes())
        return whole.hexdigest()

    def apply(self, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Write 0 over the pruned weights of `model`, in place, and over their momentum.

        That is, over what the state of `optimizer` has for them; over infinities and NaN too. Call
        it once after pruning, and after each `optimizer.step()` of your own loop, or let
        `hold` do that. Adapters that are merged into the weights (LoRA) fill pruned weights again:
        call it after the merge. Names fit whatever wraps the model, or wrapped the one that the
        masks were made for. Raises SpecError when a name or shape does not fit the model.
        """
        write_zeros(fitting(self, model), [] if optimizer is None else [optimizer])

    def hold(self, model: nn.Module, optimizer: Any) -> Held:
        """Keep pruned weights and their momentum at exactly 0 after every step of `optimizer`.

        One line for any trainer; the masks are applied at once. Returns a handle: `remove()` it,
        or use it in `with`. optimizer: of torch, or a wrapper of one (accelerate, Lightning,
        Lookahead): the innermost gets a post-step hook, and a wrapper that steps on its own is
        followed too. It lasts through `load_state_dict`, from the next step on; a deep copy, a
        pickle or a new optimizer is not held. LBFGS: weights are 0 after a step, not inside its
        closures. Raises SpecError for an optimizer that cannot be held or trains none of these
        weights, and what `apply` raises; warns where adapters (LoRA) act on pruned weights.
        """
        weights = fitting(self, model)
        found = hold(weights, optimizer)
        warn_of_adapters(model, weights)
        return found

    def to(self, device: torch.device | str) -> Masks:
        return Masks(
            {name: mask.to(device) for name, mask in self.items()}, self.asked, self.survey
        )

    def save(self, path: str | Path) -> None:
        """Write one bit a weight as safetensors, atomically."""
        shapes = {name: list(mask.shape) for name, mask in self.items()}
        packed = {name: torch.from_numpy(pack(mask)) for name, mask in self.items()}
        meta = {"kind": "prunekit masks", "shapes": json.dumps(shapes)}
        write_tensors(path, packed, meta)

    @classmethod
    def load(cls, path: str | Path) -> Masks:
        """Read masks written by `save`; StorageError when the file is damaged or foreign."""
        packed, meta = read_tensors(path)
        if meta.get("kind") != "prunekit masks":
            raise StorageError(f"{path} holds no prunekit masks; write them with Masks.save")
        try:
            shapes: dict[str, Any] = parse_json(meta["shapes"])
            return cls({name: unpack(packed[name], shape) for name, shape in shapes.items()})
        except DAMAGED as error:
            raise StorageError(f"{path} holds damaged masks: {error}; make them again") from None


def foreign_masks(path: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks of a run folder or file, in the order and on the device of `weights`.

    Raises SpecError when a name or shape does not fit, StorageError for a damaged file.
    """
    run = RunFolder(Path(path))
    loaded = Masks.load(run.held(run.masks) if os.path.isdir(path) else path)
    masks = renamed(loaded, weights)
    for name, weight in weights.items():
        if name not in masks or masks[name].shape != weight.shape:
            have = f"shape {tuple(masks[name].shape)}" if name in masks else "no mask"
            raise SpecError(
                f"{path} has {have} for {name} of shape {tuple(weight.shape)}; "
                "give masks of the same architecture"
            )
    return {name: masks[name].to(weight.device) for name, weight in weights.items()}


def count_kept(mask: Tensor) -> int:
    """Number of True entries; a twentieth of what `mask.sum()` costs on the CPU."""
    return int(torch.count_nonzero(mask))


def pack(mask: Tensor) -> np.ndarray:
    """Eight mask entries a byte, row-major, the first in the highest bit."""
    return np.packbits(mask.detach().cpu().numpy().reshape(-1))


def unpack(packed: Tensor, shape: list[int]) -> Tensor:
    """The bool tensor of `shape` from its packed bytes; ValueError when the size does not fit."""
    if any(not isinstance(length, int) or length < 0 for length in shape):
        raise ValueError(f"no shape: {shape}")
    count = math.prod(shape)
    if packed.dtype != torch.uint8 or packed.numel() != (count + 7) // 8:
        raise ValueError(f"{packed.numel()} bytes for shape {shape}")
    bits = np.unpackbits(packed.numpy(), count=count).astype(bool)
    return torch.from_numpy(bits).reshape(shape)
