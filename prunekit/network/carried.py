"""What of an operation's results is of positions that count, from what of its arguments is.

A result counts where anything that counts went into it along what is summed, and where all that
meets there entry by entry counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Known = Sequence[tuple[Tensor, Tensor]]
"""Tensors, each with what of it counts: bool, of its shape."""

MOVES = frozenset(
    re.findall(
        r"\w+",
        """
    __get__ __getitem__ broadcast_to cat chunk concat concatenate expand expand_as flatten flip
    gather hstack index_select masked_select moveaxis movedim narrow pad permute repeat
    repeat_interleave reshape reshape_as roll select split squeeze stack swapaxes swapdims t
    take_along_dim tensor_split tile transpose unbind unflatten unfold unsqueeze view view_as vstack
""",
    )
)
"""What moves entries of its first argument, and does nothing else with them."""

PRODUCTS: Mapping[str, int] = {
    **dict.fromkeys(("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "linear"), 0),
    **dict.fromkeys(("addmm", "baddbmm"), 1),
    "_grouped_mm": 0,
}
"""Matrix products: the place of the first operand."""

SUMS = frozenset(
    re.findall(
        r"\w+",
        """
    all amax amin any argmax argmin count_nonzero logsumexp max mean median min nanmean nansum
    prod std sum var
""",
    )
)
"""What makes one entry of many, along dimensions."""

INTO = re.compile(r"__setitem__|(index|scatter|masked_scatter)\w*")
"""What puts entries at places of its first argument."""

FIRST = frozenset(
    re.findall(
        r"\w+",
        """
    scaled_dot_product_attention multi_head_attention_forward lstm gru rnn_tanh rnn_relu
    lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell
""",
    )
)
"""What has a row for each row of its first argument."""


def carried(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], known: Known, results: Sequence[Any]
) -> list[Tensor | None]:
    """For each result what of it counts, bool of its shape; of another one where that is lost."""
    name = getattr(func, "__name__", "")
    lost = torch.ones(())
    try:
        found = _of_kind(name, func, args, kwargs, known, results)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        found = None  # such arguments are not of the kind
    if found is None:
        found = [_rowwise(known, x) if isinstance(x, Tensor) else None for x in results]
    return [lost if some is None else some for some in found]


def _of_kind(
    name: str,
    func: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    known: Known,
    results: Sequence[Any],
) -> list[Tensor | None] | None:
    """What the rule for an operation of this name gives; None where there is none."""
    first = args[0] if args else kwargs.get("input")
    own = _counts(known, first) if isinstance(first, Tensor) else None
    if name in MOVES and (own is not None or not isinstance(first, Tensor)):
        moved = func(_stand_in(known, first), *args[1:], **kwargs)
        return list(moved) if isinstance(moved, tuple | list) else [moved]
    if name in ("embedding", "one_hot", *MOVES):  # a row for each number
        number, some = known[0]
        more = results[0].ndim - number.ndim
        return [some.reshape(some.shape + (1,) * more).expand(results[0].shape)]
    if name in PRODUCTS:
        a, b = args[PRODUCTS[name] :][:2]
        a, b = (b, a) if name == "__rmatmul__" else (a, b)
        return [_product(known, a, b, results[0], name == "linear")]
    if name == "einsum":
        return [_contracted(args[0], args[1:], known, results[0])]
    if name.startswith("conv"):
        same = isinstance(first, Tensor) and results[0].shape[2:] == first.shape[2:]
        some = own.any(1, keepdim=True) if same and own is not None else _all(results[0])[:, :1]
        return [some.expand(results[0].shape)]
    if name == "where" and len(args) == 3:  # each entry is that of one or the other
        chosen, x, y = args if func is torch.where else (args[1], args[0], args[2])
        parts = [_stand_in(known, part) if isinstance(part, Tensor) else True for part in (x, y)]
        return [torch.where(chosen, parts[0], parts[1])]
    if name in SUMS and own is not None and not any(isinstance(a, Tensor) for a in args[1:]):
        return [_summed(own, args, kwargs, x) for x in results]
    if INTO.fullmatch(name) and isinstance(first, Tensor) and name != "index_select":
        return [own]
    if name in FIRST:
        rows = None if own is None else own.any(-1, keepdim=True)
        rows = None if rows is None else rows.expand(*rows.shape[:-1], results[0].shape[-1])
        return [rows, *map(_all, results[1:])]
    return None


def _all(x: Any) -> Any:
    """Everything counts."""
    return torch.ones_like(x, dtype=torch.bool) if isinstance(x, Tensor) else None


def _counts(known: Known, x: Any) -> Tensor | None:
    return next((some for tensor, some in known if tensor is x), None)


def _stand_in(known: Known, value: Any) -> Any:
    """The argument with, for each tensor, what of it counts."""
    if isinstance(value, Tensor):
        some = _counts(known, value)
        return value.new_ones((), dtype=torch.bool).expand(value.shape) if some is None else some
    return [_stand_in(known, part) for part in value]


def _product(known: Known, a: Tensor, b: Tensor, y: Tensor, turned: bool) -> Tensor | None:
    """a @ b counts where its row of a and its column of b do."""
    rows, columns = _counts(known, a), None if turned else _counts(known, b)
    parts = []
    if rows is not None:
        row = rows.any(-1, keepdim=True)
        parts.append(row if b.ndim > 1 else row.squeeze(-1))
    if columns is not None and b.ndim > 1:
        parts.append(columns.any(-2, keepdim=a.ndim > 1))
    return _met(parts, y)


def _met(parts: Sequence[Tensor], y: Tensor) -> Tensor | None:
    """What counts in all parts, in the shape of y; None where there is none."""
    if not parts:
        return None
    found = parts[0]
    for part in parts[1:]:
        found = found & part
    return found.broadcast_to(y.shape)


def _contracted(equation: str, operands: Any, known: Known, y: Tensor) -> Tensor | None:
    """An einsum counts where its operands do, each summed over the indices that end in it."""
    if len(operands) == 1 and not isinstance(operands[0], Tensor):
        operands = operands[0]
    terms, _, out = equation.replace(" ", "").partition("->")
    if not out:
        return None
    end, parts = _letters(out, y.ndim), []
    for term, x in zip(terms.split(","), operands):
        some, own = _counts(known, x), _letters(term, x.ndim)
        if some is not None:
            small = torch.einsum(
                some.float(), list(range(x.ndim)), [i for i, c in enumerate(own) if c in end]
            )
            left = [c for c in own if c in end]
            order = sorted(range(len(left)), key=lambda i: end.index(left[i]))
            shape = [y.shape[i] if c in left else 1 for i, c in enumerate(end)]
            parts.append((small > 0).permute(order).reshape(shape))
    return _met(parts, y)


def _letters(term: str, ndim: int) -> list[str]:
    """The index of each dimension of an einsum's term; of dots, numbers from the right."""
    before, dots, after = term.partition("...")
    count = ndim - len(before) - len(after) if dots else 0
    return [*before, *(str(count - i) for i in range(count)), *after]


def _summed(own: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any], y: Any) -> Tensor | None:
    """What is left of a sum along dimensions: an entry counts where one of its own does."""
    dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    if not isinstance(y, Tensor) or dim is None:
        return None
    keep = y.ndim == own.ndim
    dims = [d % own.ndim for d in ((dim,) if isinstance(dim, int) else dim)]
    for d in sorted(dims, reverse=True):
        own = own.any(d, keepdim=keep)
    return own


def _rowwise(known: Known, y: Tensor) -> Tensor | None:
    """Of any other operation: entry by entry where shapes broadcast, else row by row."""
    parts = [some for x, some in known if _broadcasts(x, y)]
    if parts:
        return _met(parts, y)
    for x, some in known:
        if x.ndim == y.ndim and x.shape[:-1] == y.shape[:-1]:
            return some.any(-1, keepdim=True).expand(y.shape)
        if y.shape[:-1] == x.shape:
            return some.unsqueeze(-1).expand(y.shape)
        if x.ndim and y.shape == x.shape[:-1]:
            return some.any(-1)
    return None


def _broadcasts(x: Tensor, y: Tensor) -> bool:
    sizes = zip(reversed(x.shape), reversed(y.shape))
    return x.ndim <= y.ndim and all(n in (1, m) for n, m in sizes)
