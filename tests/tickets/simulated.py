"""Masks and draw numbers as IteRand leaves them, with the real coins, and coders that remember."""

from __future__ import annotations

import math

import attrs
import numpy as np
import torch

from prunekit import bernoulli_positions
from prunekit.tickets.coding.by_odds import Coins, Shapes, Truth
from prunekit.tickets.coding.contexts import Block


def by_chance(rng, shape):
    """Masks of 40 % of the weights, others at every event."""
    return rng.random(math.prod(shape)) < 0.4


def iterand(shapes, coins, masks=by_chance, seed=7, names=None):
    """(Shapes, Truth) of parameters "p0", "p1", ... whose pruned weights were redrawn.

    masks: of a generator and a shape, the kept weights (flat bool) from one event to the next.
    """
    names = names or [f"p{number}" for number in range(len(shapes))]
    seeds, kept, numbers = coins.seeds(seed), [], []
    for number, (name, shape) in enumerate(zip(names, shapes)):
        rng = np.random.default_rng([seed, number])
        draw = np.zeros(math.prod(shape), np.int64)
        for event, coin in enumerate(seeds.coins, 1):
            pruned = torch.from_numpy(~masks(rng, shape))
            chance = torch.Generator().manual_seed(coin)
            draw[bernoulli_positions(pruned, coins.rate, chance, name).numpy()] = event
        kept.append(masks(rng, shape))
        numbers.append(draw[kept[-1]])
    return Shapes(names, shapes, seeds), Truth.of(kept, numbers)


def alone(shape, coins, seed=7):
    """One parameter: (its only block, seeds, which weights are kept, which are negative, draws)."""
    given, truth = iterand([shape], coins, seed=seed)
    (block,) = given.blocks()
    return block, given.seeds, *truth.in_block(block, given.seeds)


@attrs.define(eq=False)
class Recorder:
    """A coder that keeps what it is asked."""

    asked: list = attrs.field(factory=list)

    def __call__(self, features, group, truth):
        self.asked.append((features, group, truth))
        return truth


def kernels(count, height, width, begin=0):
    """A block of so many kernels that begins anywhere."""
    size = height * width
    return Block(0, "p0", begin * size, count * size, height, width)


COINS = Coins(0.3, 9)
