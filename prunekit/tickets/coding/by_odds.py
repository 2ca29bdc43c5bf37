"""Masks, signs and draw numbers of a redrawn network as three streams of bits with odds.

Of the real ticket for which this was made (ResNet-18, IteRand, Kaiming uniform) the masks take
0.94 bits a weight, signs and draws 2.34 a kept weight, where tables alone took 0.98 and 6.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

import attrs
import numpy as np
import torch
from torch import Tensor

from prunekit.tickets.coding import odds, rans
from prunekit.tickets.coding.coins import Coins, Seeds
from prunekit.tickets.coding.contexts import (
    FEATURES,
    Block,
    Coder,
    NeverOffered,
    Offers,
    blocks,
    code_draws,
    code_masks,
)
from prunekit.tickets.coding.odds import Odds
from prunekit.tickets.coding.rans import Integers, Reader
from prunekit.tickets.header import Header
from prunekit.tickets.ticket import Ticket, as_tensor, bytes_of

STREAMS = "masks", "signs", "draws"
ODDS = ".odds"
LEAST = 2**18
"""Weights of a network for which odds are worth their time."""
SAMPLE = 1 << 20  # bits from which odds are fitted, about


@attrs.frozen(eq=False)
class Shapes:
    """The parameters of a ticket and where their words come from."""

    names: Sequence[str]
    shapes: Sequence[Sequence[int]]
    seeds: Seeds

    def blocks(self) -> list[Block]:
        return list(blocks(self.names, self.shapes, len(self.seeds.coins), self.seeds.rate))

    def offered(self, some: Sequence[Block]) -> Iterator[tuple[Block, Offers]]:
        """Each block with its offers; a thread finds them while the one before is worked on."""
        with ThreadPoolExecutor(1) as thread:
            coming = [thread.submit(Offers.of, block, self.seeds) for block in some[:1]]
            for block, after in zip_longest(some, some[1:]):
                offers = coming.pop().result()
                if after is not None:
                    coming.append(thread.submit(Offers.of, after, self.seeds))
                yield block, offers


@attrs.frozen(eq=False)
class Truth:
    """Of each parameter: which weights are kept (bool, flat), and these weights' draw numbers."""

    masks: Sequence[Integers]
    numbers: Sequence[Integers]
    before: Sequence[Integers]

    @classmethod
    def of(cls, masks: Sequence[Integers], numbers: Sequence[Integers]) -> Truth:
        return cls(masks, numbers, [np.append(0, np.cumsum(mask)) for mask in masks])

    def in_block(self, block: Block, seeds: Seeds) -> tuple[Integers, Integers, Integers]:
        """(kept, negative, draw numbers) of a block, as `code_masks` and `code_draws` find them."""
        end = block.begin + block.count
        kept = self.masks[block.group][block.begin : end]
        before = self.before[block.group]
        numbers = self.numbers[block.group][before[block.begin] : before[end]]
        minus = np.zeros(block.count, bool)
        where = np.flatnonzero(kept)
        minus[where] = block.words(seeds.init, "init", where, numbers) < 0
        return kept, minus, numbers


def written(ticket: Ticket, coins: Coins | None) -> Iterator[tuple[Header, dict[str, Tensor]]]:
    """A ticket's header and bits with odds: nothing where no coins are known, or none would pay."""
    header = attrs.evolve(ticket.header, coins=coins)
    if header.values != "draws" or coins is None or header.total < LEAST:
        return
    shapes = [part.shape for part in header.parts]
    if not coins.bearable(shapes, header.total // 8):
        return
    numbers = [codes for codes in ticket.codes if codes is not None]
    streams = coded(shapes_of(header), Truth.of(ticket.masks, numbers))
    if streams is None:
        return
    tensors = {name: as_tensor(stream) for name, (stream, _) in streams.items()}
    tensors |= {name + ODDS: torch.from_numpy(o.flat) for name, (_, o) in streams.items()}
    if coins.bearable(shapes, sum(tensor.nbytes for tensor in tensors.values())):
        yield header, tensors


def names() -> set[str]:
    """The tensors that `written` gives."""
    return {*STREAMS, *(name + ODDS for name in STREAMS)}


def read(
    header: Header, tensors: Mapping[str, Tensor]
) -> tuple[list[Integers], list[Integers | None]]:
    """`Ticket.masks` and `Ticket.codes`; ValueError for what `written` did not give."""
    streams = [bytes_of(tensors, name) for name in STREAMS]
    fitted = [tensors[name + ODDS].numpy() for name in STREAMS]
    masks, numbers = decoded(shapes_of(header), streams, fitted)
    if [int(np.count_nonzero(mask)) for mask in masks] != [part.kept for part in header.parts]:
        raise ValueError("the masks do not keep as many weights as the header says")
    return masks, [*numbers]


def shapes_of(header: Header) -> Shapes:
    """What the streams of a header's coins are about."""
    assert header.coins is not None
    parts = header.parts
    seeds = header.coins.seeds(header.origin.seed)
    return Shapes([part.name for part in parts], [part.shape for part in parts], seeds)


def coded(shapes: Shapes, truth: Truth) -> dict[str, tuple[bytes, Odds]] | None:
    """Each stream and its odds; None where a weight stands at a draw that no coin offered it."""
    try:
        fitted = [sample.fit(len(shapes.names)) for sample in _sampled(shapes, truth)]
        writers = [_Writer(each) for each in fitted]
        for block, offers in shapes.offered(shapes.blocks()):
            _code(block, shapes.seeds, offers, truth, writers)
    except NeverOffered:
        return None
    streams = [rans.encode_bits(writer.parts) for writer in writers]
    return dict(zip(STREAMS, zip(streams, fitted)))


def decoded(
    shapes: Shapes, streams: Sequence[bytes], fitted: Sequence[Integers]
) -> tuple[list[Integers], list[Integers]]:
    """Masks and draw numbers of each parameter from the streams and the numbers of their odds.

    Raises ValueError for what `coded` did not write.
    """
    groups = len(shapes.names)
    readers = [
        _Reader(Odds.checked(flat, FEATURES[name], groups), Reader.of(stream))
        for name, stream, flat in zip(STREAMS, streams, fitted)
    ]
    masks: list[list[Integers]] = [[np.empty(0, bool)] for _ in shapes.names]
    numbers: list[list[Integers]] = [[np.empty(0, np.int64)] for _ in shapes.names]
    for block, offers in shapes.offered(shapes.blocks()):
        kept, minus = code_masks(block, shapes.seeds, offers, (readers[0], readers[1]), None)
        draws = code_draws(block, shapes.seeds, offers, kept, minus, readers[2], None)
        masks[block.group].append(kept)
        numbers[block.group].append(draws)
    for reader in readers:
        reader.code.end()
    return [np.concatenate(part) for part in masks], [np.concatenate(part) for part in numbers]


def _code(
    block: Block, seeds: Seeds, offers: Offers, truth: Truth, coders: Sequence[Coder]
) -> None:
    """Give the bits of a block to the coders; NeverOffered for a draw number that no coin gave."""
    kept, minus, numbers = truth.in_block(block, seeds)
    code_masks(block, seeds, offers, (coders[0], coders[1]), (kept, minus))
    found = code_draws(block, seeds, offers, kept, minus, coders[2], numbers)
    if (found != numbers).any():
        raise NeverOffered(f"a kept weight of {block.name} stands at a draw that no coin offered")


def _sampled(shapes: Shapes, truth: Truth) -> list[_Sample]:
    """Some bits of every stream, from a few blocks of each parameter."""
    by_group: dict[int, list[Block]] = {}
    for block in shapes.blocks():
        by_group.setdefault(block.group, []).append(block)
    some = [block for found in by_group.values() for block in found[:: max(1, len(found) // 2)]]
    share = SAMPLE / max(sum(block.count for block in some), 1)
    samples = [_Sample(n, min(1.0, share * more)) for n, more in zip(STREAMS, (1, 2, 1))]
    for block, offers in shapes.offered(some):
        _code(block, shapes.seeds, offers, truth, samples)
    return samples


@attrs.define(eq=False)
class _Sample:
    """Keeps a share of what it is given, which may be nothing."""

    stream: str
    share: float
    rng: np.random.Generator = attrs.field(factory=lambda: np.random.default_rng(0))
    found: list[tuple[Integers, Integers, Integers]] = attrs.field(factory=list)

    def __call__(self, features: Integers, group: int, truth: Integers | None) -> Integers:
        assert truth is not None
        some = np.flatnonzero(self.rng.random(len(truth)) < self.share)
        self.found.append((features[some], np.full(len(some), group), truth[some]))
        return truth

    def fit(self, groups: int) -> Odds:
        empty = np.empty((0, FEATURES[self.stream]), np.int16), np.empty(0, int), np.empty(0, bool)
        features, group, bits = map(np.concatenate, zip(empty, *self.found))
        return odds.fit(features, group, bits, groups)


@attrs.define(eq=False)
class _Writer:
    odds: Odds
    parts: list[tuple[Integers, Integers]] = attrs.field(factory=list)

    def __call__(self, features: Integers, group: int, truth: Integers | None) -> Integers:
        assert truth is not None
        self.parts.append((truth.copy(), self.odds.shares(features, group)))
        return truth


@attrs.define(eq=False)
class _Reader:
    odds: Odds
    code: Reader

    def __call__(self, features: Integers, group: int, truth: Integers | None) -> Integers:
        return self.code.bits(self.odds.shares(features, group))
