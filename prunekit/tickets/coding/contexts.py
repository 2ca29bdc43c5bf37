"""What a ticket's seed tells of masks, signs and draw numbers before any of them is read.

A reader can draw every weight, initial score and coin again. So each bit is coded with odds
(`odds.py`) from what is known by then: of a weight, all the draws that it was offered, when and how
large; its initial score; and around it in its kernel which weights are kept, and their signs, for
neighbours mostly share theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import attrs
import numpy as np
import torch

from prunekit.draws import bernoulli, chance
from prunekit.tickets.coding.coins import Seeds, block_size, room
from prunekit.tickets.coding.odds import ONE
from prunekit.tickets.coding.rans import Integers

FEATURES = {"masks": 20, "signs": 20, "draws": 20}
"""How many features each kind of bit has."""


class NeverOffered(ValueError):
    """A kept weight stands at no draw that its coins offered it."""


class Coder(Protocol):
    """The bits of these features and group; a writer is given them as `truth`, a reader is not."""

    def __call__(self, features: Integers, group: int, truth: Integers | None) -> Integers: ...


@attrs.frozen
class Block:
    """Whole kernels of a parameter: `count` elements from `begin` on, kernels height x width."""

    group: int
    name: str
    begin: int
    count: int
    height: int
    width: int

    def words(self, seed: int, stream: str, where: Integers, draw: int | Integers = 0) -> Integers:
        """Words of the elements `where`, counted from `begin`."""
        number = draw if isinstance(draw, int) else torch.from_numpy(draw)
        elements = torch.from_numpy(where + self.begin)
        return chance.words_at(seed, stream, self.name, elements, number).numpy()


def blocks(
    names: Sequence[str], shapes: Sequence[Sequence[int]], events: int, rate: float
) -> Iterator[Block]:
    """All elements of the parameters, in order."""
    for group, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        total, kernel = math.prod(shape), max(math.prod(shape[2:]), 1)
        width = max(shape[-1], 1) if len(shape) > 2 else 1
        size = block_size(kernel, room(events, rate))
        for begin in range(0, total, size):
            yield Block(group, name, begin, min(size, total - begin), kernel // width, width)


@attrs.frozen(eq=False)
class Offers:
    """The draws that each element of a block may stand at, in order, draw 0 first.

    element, event, word: of each offer. start: the first offer of each element, and the end. until:
    events to the element's next offer, or to the end. pull: over the element's offers so far, each
    included, the sum of size times duration, negative words counting less than 0.
    """

    element: Integers
    event: Integers
    word: Integers
    start: Integers
    until: Integers
    pull: Integers

    @classmethod
    def of(cls, block: Block, seeds: Seeds) -> Offers:
        last, front = len(seeds.coins) + 1, block.begin % 16
        hit = np.zeros((-(-block.count // 4) * 4, last), bool)  # true_positions counts by fours
        hit[: block.count, 0] = True
        flags = torch.ones(front + block.count, dtype=torch.bool)
        flags[:front] = False
        cut, rest = bernoulli.thresholds(seeds.rate)
        for number, seed in enumerate(seeds.coins, 1):
            begin = block.begin - front
            found = bernoulli.chosen_on_cpu(flags, cut, rest, seed, block.name, begin)
            hit[found.numpy() - front, number] = True
        place = bernoulli.true_positions(hit.reshape(-1))
        element = place // last
        event = place - element * last
        start = np.append(np.flatnonzero(event == 0), len(event))
        until = np.append(event[1:], 0)
        until[start[1:] - 1] = last
        until -= event
        word = block.words(seeds.init, "init", element, event)
        signed = np.where(word < 0, -size(word), size(word)) * until
        pull = np.cumsum(signed)
        pull -= (pull - signed)[start[:-1]][element]
        return cls(element, event, word, start, until, pull)


def size(words: Integers) -> Integers:
    """|word| as a feature: 0 to 64."""
    return np.abs(words >> 25).astype(np.int64)


def code_masks(
    block: Block,
    seeds: Seeds,
    offers: Offers,
    coders: tuple[Coder, Coder],
    given: tuple[Integers, Integers] | None,
) -> tuple[Integers, Integers]:
    """Which elements of a block are kept, and which of these stand at a negative word; bool.

    coders: of kept elements, and of signs that differ from the first draw's. given: the result.
    """
    kernel = block.height * block.width
    shape = block.count // kernel, kernel
    own, facts = of_elements(block, seeds, offers)
    own, facts = own.reshape(shape), facts.reshape(*shape, -1)
    known = np.zeros((shape[0], block.height + 1, block.width + 2), np.int64)  # signs; 0 is pruned
    kept, minus = np.zeros(shape, bool), np.zeros(shape, bool)
    total, count = np.zeros(shape[0], np.int64), np.zeros(shape[0], np.int64)  # of `known`
    truth = None if given is None else [part.reshape(shape) for part in given]
    for at in range(kernel):
        y, x = divmod(at, block.width)
        sign = own[:, at]
        near = [known[:, y + 1, x], known[:, y, x + 1], known[:, y, x], known[:, y, x + 2]]
        place = [np.full(len(sign), ONE * at // kernel), np.full(len(sign), ONE * (x == 0))]
        columns = [*(ONE * sign * other for other in near), 16 * sign * total, 16 * np.abs(total)]
        columns += [ONE * count // kernel, *place]
        features = np.concatenate([stacked(columns), facts[:, at]], 1)
        keep = coders[0](features, block.group, None if truth is None else truth[0][:, at])
        want = None if truth is None else (truth[1][:, at] != (sign < 0))[keep]
        turned = coders[1](features[keep], block.group, want)
        known[keep, y + 1, x + 1] = np.where(turned, -sign[keep], sign[keep])
        found = known[:, y + 1, x + 1]
        total += found
        count += keep
        kept[:, at], minus[:, at] = keep, found < 0
    return kept.reshape(-1), minus.reshape(-1)


def of_elements(block: Block, seeds: Seeds, offers: Offers) -> tuple[Integers, Integers]:
    """The sign of each element's first draw, and features (n, F) relative to it."""
    first, last = offers.start[:-1], offers.start[1:] - 1
    sign = np.where(offers.word < 0, -1, 1)
    own, each = sign[first], np.arange(block.count, dtype=np.int64)
    score = block.words(seeds.scores, chance.SCORES, each) >> 25
    agreeing = np.add.reduceat(sign, first) * own
    events = len(seeds.coins) + 1
    facts = [
        size(offers.word[first]), score, last - first, 8 * agreeing,
        own * sign[last] * size(offers.word[last]), ONE * offers.until[last] // events,
        root(offers.until[last]), own * offers.pull[last] // events,
    ]  # fmt: skip
    before = np.maximum(last - 1, first)
    facts += [own * sign[before] * size(offers.word[before]), root(offers.until[before])]
    facts += [own * sign[first] * root(offers.until[first])]
    return own, stacked(facts)


def code_draws(
    block: Block, seeds: Seeds, offers: Offers, kept: Integers, minus: Integers,
    coder: Coder, given: Integers | None,
) -> Integers:  # fmt: skip
    """The draw numbers (int64) of the kept elements of a block, last offers first.

    kept, minus: of `code_masks`. given: the result. Raises NeverOffered where no word of its sign
    was offered to an element.
    """
    right = ((offers.word < 0) == minus[offers.element]) & kept[offers.element]
    pick = np.flatnonzero(right)
    features = of_offers(block, seeds, offers, kept, minus, pick)
    first = np.flatnonzero(np.diff(offers.element[pick], prepend=-1))
    if len(first) != np.count_nonzero(kept):
        raise NeverOffered(f"a kept weight of {block.name} was offered no draw of its sign")
    at = np.append(first[1:], len(pick))[: len(first)] - 1
    event = offers.event[pick]
    active = np.flatnonzero(at > first)
    while len(active):
        now = at[active]
        truth = None if given is None else given[active] == event[now]
        here = coder(features[now], block.group, truth)
        active = active[~here]
        at[active] -= 1
        active = active[at[active] > first[active]]
    return event[at]


def of_offers(
    block: Block, seeds: Seeds, offers: Offers, kept: Integers, minus: Integers, pick: Integers
) -> Integers:
    """Features (n, F) of the offers `pick`, all those of the sign of their kept element."""
    element, event, word = offers.element[pick], offers.event[pick], offers.word[pick]
    events, sign = len(seeds.coins) + 1, np.where(minus[element], -1, 1)
    alone = np.diff(element, prepend=-1) != 0
    begin = np.flatnonzero(alone)
    older = np.arange(len(pick)) - begin[np.cumsum(alone) - 1]
    wrong = pick - offers.start[element] - older
    since = np.where(alone, events, event - np.roll(event, 1))
    behind = np.where(alone, 0, np.roll(size(word), 1))
    after = np.where(np.roll(alone, -1), events, np.roll(event, -1)) - event
    first = offers.start[element]
    beginning = np.where((offers.word[first] < 0) == minus[element], 1, -1) * size(
        offers.word[first]
    )
    each = np.arange(block.count, dtype=np.int64)
    score = (block.words(seeds.scores, chance.SCORES, each) >> 25)[element]
    near, agree = around(block, kept, minus)
    pull = sign * (offers.pull[pick] - sign * size(word) * offers.until[pick])
    return stacked([
        root(event), root(events - event), ONE * event // events, size(word),
        root(offers.until[pick]), offers.until[pick], score, 12 * older, ONE * (older == 1),
        root(since), since, behind, 12 * wrong, root(after), after, beginning,
        8 * near[element], 8 * agree[element] * sign, pull // events,
        sign * offers.pull[offers.start[element + 1] - 1] // events,
    ])  # fmt: skip


def around(block: Block, kept: Integers, minus: Integers) -> tuple[Integers, Integers]:
    """Of up to eight neighbours in the kernel: how many are kept, and the sum of their signs."""
    sums = []
    for field in (kept.astype(np.int64), kept.astype(np.int64) - 2 * minus):
        field = np.pad(field.reshape(-1, block.height, block.width), ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(field, (3, 3), (1, 2))
        sums.append((windows.sum((3, 4)) - field[:, 1:-1, 1:-1]).reshape(-1))
    return sums[0], sums[1]


def root(number: Integers) -> Integers:
    """8 sqrt(n), rounded down: a square root is the same on every machine."""
    return np.floor(8 * np.sqrt(number)).astype(np.int64)


def stacked(columns: Sequence[Integers]) -> Integers:
    """Features (n, F), int16, from their columns."""
    return np.stack([np.clip(column, -512, 512).astype(np.int16) for column in columns], 1)
