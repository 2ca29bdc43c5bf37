"""The mask of Theorem 3 ("batch sampling"): each weight takes unused neurons among all M.

Orseau, Hutter & Rivasplata, "Logarithmic Pruning is All You Need", section 4.3. First fit: the
neurons are looked at in windows of `WIDTH`, several windows at a time, one pair (output, input) in
each. A pair that misses a category moves on to another window with what remains of it. A window
that is nearly used up makes way for a fresh one; so few more neurons are sampled than are kept.
When no window is left every pair still open meets every window before the search gives up.
"""

from __future__ import annotations

import attrs
import numpy as np

from prunekit.theory.greedy import Found, step
from prunekit.theory.hyperbolic import Bools, Ints, RandomLayer
from prunekit.theory.search import Demands, Searched

WIDTH = 1024
AT_ONCE = 64
"""Windows that are open at once, at most: their words stay in the cache."""
FULL = 0.85
"""Share of a window's neurons in use at which it is closed."""


@attrs.define
class Windows:
    """All windows of a layer with `total` neurons; the last may be narrower."""

    total: int
    used: Bools
    """(windows opened, WIDTH)."""
    opened: int = 0

    @classmethod
    def of(cls, total: int) -> Windows:
        return cls(total, np.zeros((0, WIDTH), bool))

    @property
    def count(self) -> int:
        return -(-self.total // WIDTH)

    def open(self, wanted: int) -> Ints:
        """Up to `wanted` fresh windows."""
        fresh = np.arange(self.opened, min(self.opened + wanted, self.count))
        self.opened += len(fresh)
        if self.opened > len(self.used):
            grown = np.zeros((max(2 * len(self.used), self.opened), WIDTH), bool)
            grown[: len(self.used)] = self.used
            self.used = grown
        if self.opened == self.count:
            self.used[self.opened - 1, self.total - (self.count - 1) * WIDTH :] = True
        return fresh

    @property
    def sampled(self) -> int:
        return min(self.opened * WIDTH, self.total)


def search(layer: RandomLayer, demands: Demands, total: int) -> Searched:
    """Find neurons for all pairs of a layer among neurons 0 ... total - 1."""
    windows, accuracy = Windows.of(total), layer.law.bounds()[-1]
    waiting = np.flatnonzero(demands.rest.max(1) > accuracy)
    slots = windows.open(_slots(layer, demands, len(waiting)))
    turn = idle = 0
    while len(waiting) and len(slots):
        taken, waiting = _pass(layer, demands, windows, waiting, slots, turn)
        turn, idle = turn + 1, 0 if taken else idle + 1
        if idle == len(slots):
            slots, idle = _further(windows, slots), 0
    missing = int((demands.rest[waiting] > accuracy).sum())
    return Searched(demands, windows.sampled, missing)


def _slots(layer: RandomLayer, demands: Demands, waiting: int) -> int:
    """Open windows: few next to the neurons that will be kept, so that few go to waste."""
    expected = waiting * 2 * layer.law.k // 3
    return max(1, min(AT_ONCE, waiting, expected // (4 * WIDTH)))


def _further(windows: Windows, slots: Ints) -> Ints:
    """More windows when those in use gave nothing: fresh ones, then all, then none."""
    fresh = windows.open(len(slots))
    if len(fresh) or len(slots) == windows.count:
        return fresh
    return np.arange(windows.count)


def _renew(windows: Windows, slots: Ints) -> None:
    """Put fresh windows in the place of full ones, while there are any."""
    full = np.flatnonzero(windows.used[slots].mean(1) > FULL)
    fresh = windows.open(len(full))
    slots[full[: len(fresh)]] = fresh


def _pass(
    layer: RandomLayer, demands: Demands, windows: Windows, waiting: Ints, slots: Ints, turn: int
) -> tuple[int, Ints]:
    """Each waiting pair looks at one window; how many neurons were taken, and who waits on.

    Pair p of the list meets window turn + p, so in as many passes as there are windows, all.
    """
    taken, left = 0, []
    together = min(len(slots), AT_ONCE)
    for start in range(0, len(waiting), together):
        rows = waiting[start : start + together]
        here = slots[(turn + start + np.arange(len(rows))) % len(slots)]
        outcome = _meet(layer, demands, windows, rows, here)
        left.append(rows[outcome.stuck[:, 0] | outcome.stuck[:, 1]])
        taken += len(outcome.columns)
        _renew(windows, slots)
    return taken, np.concatenate(left)


def _meet(layer: RandomLayer, demands: Demands, windows: Windows, rows: Ints, here: Ints) -> Found:
    """Each pair of `rows` takes what it can from its window in `here`."""
    n_in = demands.matrix.shape[1]
    into = layer.windows("in", here * WIDTH, WIDTH, rows % n_in)
    out = layer.windows("out", here * WIDTH, WIDTH, rows // n_in)
    free, negative = ~windows.used[here], demands.negative[rows]
    outcome = step(layer, into, out, free, negative, demands.rest[rows])
    where = here[outcome.rows]
    windows.used[where, outcome.columns] = True
    demands.keep(outcome, rows, where * WIDTH + outcome.columns)
    return outcome
