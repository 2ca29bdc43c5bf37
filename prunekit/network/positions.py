"""Which entries of what a model computes are of positions that an attention mask leaves out.

Known by provenance, never by shape alone: from the inputs (batch, length, ...) each result is
followed, by a bool tensor of its shape, True where it is of positions that count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from prunekit.network.carried import carried

LOOK_UPS = (Tensor.__getitem__, torch.index_select, Tensor.index_select)


class CountedRows:
    """The positions that count in a batch, wherever what is computed of them goes.

    masks: bool (batch, length), those that leave something out.
    """

    def __init__(self) -> None:
        self.masks: list[Tensor] = []
        self._known: Any = WeakTensorKeyDictionary()  # tensor -> bool of its shape, or None

    @classmethod
    def given(cls, inputs: Any) -> CountedRows | None:
        """Of a batch's inputs: None where no attention mask (batch, length) leaves anything out.

        `decoder_attention_mask` speaks of the inputs whose names begin so, `attention_mask` of the
        others but labels.
        """
        rows = cls()
        for tensor, mask in positions_in(inputs):
            if not any(mask is other for other in rows.masks):
                rows.masks.append(mask)
            rows._known[tensor] = over_features(mask, tensor)
        if not rows.masks:
            return None
        for value in inputs.values():
            if isinstance(value, Tensor) and value not in rows._known:
                rows._known[value] = None
        return rows

    def of(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        """x without what does not count: numbers are 0 there, tokens are left out.

        like: what x is computed of row by row, where that is not followed.
        """
        counts = self.rows_of(x if like is None else like)
        if counts is None:
            return x
        if like is not None:
            counts = counts.any(-1, keepdim=True).expand(x.shape)
        return x.masked_fill(~counts, 0) if is_number(x) else x[counts]

    def rows_of(self, x: Tensor) -> Tensor | None:
        """What of it counts (bool, of its shape); None where all does.

        Where x was made unseen, by an autograd function of its own, its shape has to tell.
        """
        if x in self._known:
            counts: Tensor | None = self._known[x]
            return self._tokens(x) if counts is None else counts
        return None if isinstance(x, nn.Parameter) or not is_number(x) else self._by_shape(x)

    def _tokens(self, x: Tensor) -> Tensor | None:
        """What counts of tokens (batch, length) that the model makes itself: alike in each
        example, as types and places are; a matrix of distances is not."""
        masks = [mask for mask in self.masks if mask.shape == x.shape]
        if len(masks) != 1 or is_number(x) or x.dtype == torch.bool or bool((x != x[:1]).any()):
            return None
        return masks[0]

    def _by_shape(self, x: Tensor) -> Tensor | None:
        """What counts in x (batch, length, ...) or (positions, features)."""
        for mask in self.masks:
            if x.ndim > 2 and x.shape[:2] == mask.shape:
                return over_features(mask, x)
            if x.ndim == 2 and len(x) == mask.numel():
                return over_features(mask.flatten(), x)
        return None

    def follow(self, func: Any, args: Any, kwargs: Any, given: list[Tensor], result: Any) -> None:
        """Note what of a result counts, from what of the given tensors does."""
        counts = [(tensor, self.rows_of(tensor)) for tensor in given]
        known = [(tensor, some) for tensor, some in counts if some is not None]
        if isinstance(result, Tensor) or type(result) in (tuple, list):
            results = [result] if isinstance(result, Tensor) else list(result)
        else:  # x[i] = y gives nothing
            results = [*given[:1]] if getattr(func, "__name__", "") == "__setitem__" else []
        if not known:
            for x in results:
                if isinstance(x, Tensor) and x not in self._known:
                    self._known[x] = None
            return
        found = carried(func, args, kwargs, known, results)
        for x, some in zip(results, found):
            if isinstance(x, Tensor):
                lost = some is not None and some.shape != x.shape
                self._known[x] = self._by_shape(x) if lost else some


def positions_in(inputs: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """The inputs that begin with the dimensions of an attention mask, each with that mask.

    Beside tokens, numbers of these sizes are something else: what a document or an image is.
    """
    for start in ("", "decoder_") if isinstance(inputs, Mapping) else ():
        mask = inputs.get(f"{start}attention_mask")
        if not isinstance(mask, Tensor) or mask.ndim != 2 or bool((mask != 0).all()):
            continue
        counts = mask != 0
        for name, x in inputs.items():
            own = isinstance(x, Tensor) and name != "labels"
            own = own and name.startswith("decoder_") == bool(start)
            if own and x.shape[:2] == mask.shape:
                other = x.is_floating_point() and f"{start}input_ids" in inputs and x is not mask
                if not other:
                    yield x, counts


def over_features(counts: Tensor, x: Tensor) -> Tensor:
    """What counts of x's first dimensions, over all others."""
    return counts.reshape(counts.shape + (1,) * (x.ndim - counts.ndim)).expand(x.shape)


def is_number(x: Tensor) -> bool:
    return x.is_floating_point() or x.is_complex()
