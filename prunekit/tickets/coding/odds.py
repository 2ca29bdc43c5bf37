"""How likely a bit is 1, from numbers that are known about it: a tiny network of integers.

A ticket's reader must find the very odds that its writer had, on any machine. So features, weights
and sums are integers, held in float64 below 2^53, where no order of summation changes a bit:

    h = floor(relu(x U + u) / 2^8),  g = floor(relu(h V + v) / 2^8),  logit = floor((g w + c) / 2^8)

Features, h, g and logit count in 1/64, weights in 1/2^8, so u, v and c in 1/2^14.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np
import torch
from torch import nn

from prunekit.tickets.coding.rans import WHOLE, Integers

ONE, STEP = 64, 256
"""What stands for 1 in a feature, and in a weight."""
HIDDEN = 32
MOST = 11 * ONE  # the largest logit that counts: odds of 60,000 to 1
SHARES = np.array(
    [round(WHOLE / (1 + math.exp(-logit / ONE))) for logit in range(-MOST, MOST + 1)], np.int64
)
ROWS = 1 << 15  # rows of features that are worked on at once
BATCH, STEPS, PASSES, RATE = 4096, 3000, 12, 5e-3


@attrs.frozen(eq=False)
class Odds:
    """layers: (inputs + biases, outputs), int16, the biases below the weights, three of them.

    The first has a bias for each group, a layer of the ticket's network.
    """

    layers: tuple[Integers, ...]

    @classmethod
    def checked(cls, flat: Integers, features: int, groups: int) -> Odds:
        """From the numbers of `flat`; ValueError where they are not those of such a network."""
        shapes = sizes(features, groups)
        ends = np.cumsum([rows * columns for rows, columns in shapes])
        if flat.dtype != np.int16 or flat.shape != (ends[-1],):
            raise ValueError(f"no odds of {features} features: {flat.dtype} {flat.shape}")
        parts = np.split(flat, ends[:-1])
        return cls(tuple(part.reshape(shape) for part, shape in zip(parts, shapes)))

    @property
    def flat(self) -> Integers:
        return np.concatenate([layer.reshape(-1) for layer in self.layers])

    def shares(self, features: Integers, group: int) -> Integers:
        """uint16 (n,), above 0: 2^16 P(bit = 1) for int16 features (n, F) of one group."""
        out, known = np.empty(len(features), np.uint16), features.shape[1]
        first, *rest = (layer.astype(np.float64) for layer in self.layers)
        for begin in range(0, len(features), ROWS):
            x = features[begin : begin + ROWS].astype(np.float64)
            x = _layer(x, first[:known], first[known + group])
            for layer in rest:
                x = _layer(np.maximum(x, 0, out=x), layer[:-1], layer[-1])
            place = np.clip(x[:, 0], -MOST, MOST).astype(np.int64) + MOST
            out[begin : begin + ROWS] = SHARES[place]
        return out


def _layer(x: Integers, weights: Integers, bias: Integers) -> Integers:
    x = x @ weights
    x += bias * ONE
    x *= 1 / STEP
    return np.floor(x, out=x)


def sizes(features: int, groups: int) -> list[tuple[int, int]]:
    """The shapes of `Odds.layers`."""
    return [(features + groups, HIDDEN), (HIDDEN + 1, HIDDEN), (HIDDEN + 1, 1)]


def fit(features: Integers, groups: Integers, bits: Integers, count: int) -> Odds:
    """Odds for bits like these; features: int16 (n, F); groups: (n,), each below `count`.

    Adam on the cross entropy, from a fixed seed. Another machine's may differ: they are stored.
    """
    steps = min(STEPS, PASSES * len(bits) // BATCH)
    known, rng = features.shape[1], np.random.default_rng(0)
    with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
        layers = [
            nn.Parameter(torch.from_numpy(rng.standard_normal(size, np.float32) / size[0] ** 0.5))
            for size in sizes(known, count)
        ]
        optimizer = torch.optim.Adam(layers, lr=RATE)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
            some = rng.integers(len(bits), size=BATCH)
            x = torch.from_numpy(features[some]).float() / ONE
            logits = _logits(layers, x, torch.from_numpy(groups[some]).long() + known)
            truth = torch.from_numpy(bits[some]).float()
            loss = nn.functional.binary_cross_entropy_with_logits(logits, truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Odds(tuple(_integers(layer.detach()) for layer in layers))


def _logits(layers: Sequence[torch.Tensor], x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    first, *rest = layers
    x = torch.addmm(first[bias], x, first[: x.shape[1]])
    for layer in rest:
        x = torch.addmm(layer[-1], torch.relu(x), layer[:-1])
    return x[:, 0]


def _integers(layer: torch.Tensor) -> Integers:
    scaled = (layer * STEP).round().clamp(-(2**15), 2**15 - 1)
    return scaled.to(torch.int16).numpy()
