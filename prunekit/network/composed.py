"""Recurrent kernels and grouped products composed of linear maps, step by step.

The kernels of `nn.RNN`, `nn.LSTM` and `nn.GRU`, of their cells, and torch's grouped product do in
one operation what cannot be seen from outside. These give the same values by operations that can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = tuple[Tensor, ...]
"""(h,), and for an LSTM (h, c), each (batch, units)."""

Weights = Sequence[Tensor | None]
"""W_ih, W_hh, b_ih, b_hh, and for an LSTM's projection W_hr; None where there is none."""

Step = Callable[[Tensor, State, Weights], State]


def rnn_step(x: Tensor, state: State, w: Weights, activation: Any = torch.tanh) -> State:
    return (activation(F.linear(x, at(w, 0), w[2]) + F.linear(state[0], at(w, 1), w[3])),)


def lstm_step(x: Tensor, state: State, w: Weights) -> State:
    h, c = state
    z = F.linear(x, at(w, 0), w[2]) + F.linear(h, at(w, 1), w[3])
    i, f, g, o = z.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (h if len(w) == 4 else F.linear(h, at(w, 4))), c


def gru_step(x: Tensor, state: State, w: Weights) -> State:
    (h,) = state
    r, z, n = F.linear(x, at(w, 0), w[2]).chunk(3, -1)
    hr, hz, hn = F.linear(h, at(w, 1), w[3]).chunk(3, -1)
    n = torch.tanh(n + torch.sigmoid(r + hr) * hn)
    return (torch.lerp(n, h, torch.sigmoid(z + hz)),)  # (1 - z) n + z h


def at(weights: Weights, place: int) -> Tensor:
    weight = weights[place]
    assert weight is not None
    return weight


STEPS: Mapping[str, Step] = {
    "rnn_tanh": rnn_step,
    "rnn_relu": partial(rnn_step, activation=torch.relu),
    "lstm": lstm_step,
    "gru": gru_step,
}


def layers(step: Step, several: bool) -> Callable[..., Any]:
    """The kernel of `step` over layers and time, with the arguments of `torch.lstm` and the like.

    several: whether hx is a list (h, c). Dropout between layers is off.
    """

    def composed(input: Tensor, *args: Any) -> tuple[Tensor, ...]:
        packed = isinstance(args[0], Tensor) and not args[0].is_floating_point()
        if packed:  # input: (steps of all sequences, features), longest sequences first
            sizes, hx, params, biases, count, _, _, both = args
            parts = input.split(sizes.tolist())
        else:
            hx, params, biases, count, _, _, both, batch_first = args
            parts = (input.transpose(0, 1) if batch_first else input).unbind(0)
        directions = 2 if both else 1
        starts = [[*h.unbind(0)] for h in (hx if several else (hx,))]
        weights = grouped(params, biases, count * directions)
        ends: list[State] = []
        for layer in range(count):
            outs = []
            for direction in range(directions):
                place = layer * directions + direction
                start = tuple(s[place] for s in starts)
                found, end = run(step, parts, start, weights[place], direction == 1)
                outs.append(found)
                ends.append(end)
            parts = tuple(torch.cat(pair, -1) for pair in zip(*outs))
        last = tuple(torch.stack(same) for same in zip(*ends))
        if packed:
            return torch.cat(parts), *last
        return torch.stack(parts, 1 if batch_first else 0), *last

    return composed


def grouped(params: Sequence[Tensor], biases: bool, count: int) -> list[Weights]:
    """The weights of each of `count` layers and directions."""
    each = len(params) // count
    groups = [params[i * each : (i + 1) * each] for i in range(count)]
    return [group if biases else (*group[:2], None, None, *group[2:]) for group in groups]


def run(
    step: Step, parts: Sequence[Tensor], state: State, weights: Weights, backwards: bool
) -> tuple[list[Tensor], State]:
    """The outputs (batch, units) of each step in order of time, and the last state.

    A part may have fewer rows than the one before it: the sequences that have ended.
    """
    outs: list[Tensor] = []
    for x in reversed(parts) if backwards else parts:
        now = step(x, tuple(met(s[: len(x)], x) for s in state), weights)
        outs.append(now[0])
        state = tuple(torch.cat([new, old[len(x) :]]) for new, old in zip(now, state))
    return outs[::-1] if backwards else outs, state


def met(state: Tensor, x: Tensor) -> Tensor:
    """The state as it meets x: where x does not count, what it is multiplied with does not."""
    return torch.add(state, torch.zeros_like(x).narrow(-1, 0, 1)) if x.shape[-1] else state


def cell(step: Step, several: bool) -> Callable[..., Any]:
    """The kernel of one step, with the arguments of `torch.lstm_cell` and the like."""

    def composed(
        input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None
    ) -> Any:
        state = step(input, tuple(hx) if several else (hx,), (w_ih, w_hh, b_ih, b_hh))
        return state if several else state[0]

    return composed


def grouped_product(
    a: Tensor, b: Tensor, offs: Tensor | None = None, bias: Tensor | None = None, *_: Any, **__: Any
) -> Tensor:
    """`torch._grouped_mm`: a product for each group; `offs` are the ends of groups along an axis.

    That axis is the rows of a where b is a stack, the columns of b where a is, and the summed one
    where neither is.
    """
    if offs is None:
        y = torch.stack([one @ other for one, other in zip(a, b)])
    else:
        ends = offs.tolist()
        spans = [slice(start, end) for start, end in zip([0, *ends], ends)]
        if a.ndim == b.ndim:
            y = torch.stack([a[:, span] @ b[span] for span in spans])
        elif b.ndim == 3:
            y = torch.cat([a[span] @ b[group] for group, span in enumerate(spans)])
        else:
            y = torch.cat([a[group] @ b[:, span] for group, span in enumerate(spans)], -1)
    return y if bias is None else y + bias


COMPOSED: Mapping[Any, Callable[..., Any]] = {
    **{getattr(torch, kind): layers(step, kind == "lstm") for kind, step in STEPS.items()},
    **{getattr(torch, f"{kind}_cell"): cell(step, kind == "lstm") for kind, step in STEPS.items()},
    **({torch._grouped_mm: grouped_product} if hasattr(torch, "_grouped_mm") else {}),
}
"""The composition of each kernel, by torch function."""
