"""What is known of a bit: the draws and coins of `prunekit.draws`, and what was read before it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from prunekit import bernoulli_positions
from prunekit.draws import chance
from prunekit.tickets.coding.coins import CELLS, Coins, block_size, room
from prunekit.tickets.coding.contexts import (
    FEATURES,
    Block,
    NeverOffered,
    Offers,
    around,
    blocks,
    code_draws,
    code_masks,
    root,
    size,
    stacked,
)
from prunekit.tickets.coding.odds import ONE
from tests.tickets.simulated import COINS, Recorder, alone, kernels

SHAPES = {
    "conv": ((512, 512, 3, 3), (3, 3)),
    "wide": ((64, 3, 7, 5), (7, 5)),
    "linear": ((1000, 2048), (1, 1)),
    "conv1d": ((700, 300, 9), (1, 9)),
    "conv3d": ((8, 4, 2, 3, 5), (6, 5)),
    "vector": ((100,), (1, 1)),
    "scalar": ((), (1, 1)),
}
EMPTY = [(0, 3), (4, 0, 3, 3), (4, 2, 0), (0,)]


@pytest.mark.parametrize(("shape", "kernel"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("events", "rate"), [(0, 0.1), (1, 1.0), (390, 0.1), (60_000, 0.1)])
def test_blocks_hold_every_element_once_in_whole_kernels(shape, kernel, events, rate):
    found = list(blocks(["before", "w"], [(3,), shape], events, rate))
    assert [(b.group, b.name, b.count) for b in found[:1]] == [(0, "before", 3)]
    end = 0
    for block in found[1:]:
        assert (block.group, block.name, block.begin) == (1, "w", end)
        assert (block.height, block.width) == kernel
        assert block.count > 0
        assert block.count % math.prod(kernel) == 0
        assert block.count * (events + 1) <= CELLS
        end += block.count
    assert end == math.prod(shape)


def test_empty_parameters_have_no_blocks():
    assert list(blocks("abcd", EMPTY, 5, 0.1)) == []


def test_a_block_has_room_for_its_cells_and_its_offers():
    assert block_size(1, room(2**15 - 1, 0.1)) == 2**10  # as many cells as there may be
    assert block_size(9, room(2**15 - 1, 0.1)) == 113 * 9
    assert block_size(1, room(0, 1.0)) == 2**19  # of few draws, as many features as there may be
    assert block_size(1, room(2**12, 1.0)) == 2**10  # of draws that all are offers, an eighth
    assert block_size(2**26, room(5, 0.1)) == 2**26  # one kernel at least


def slow_offers(block, seeds, total):
    """(element, event, word) of each offer, from whole parameters."""
    everyone, offered = torch.ones(total, dtype=torch.bool), [np.arange(total)]
    for seed in seeds.coins:
        rng = torch.Generator().manual_seed(seed)
        offered.append(bernoulli_positions(everyone, seeds.rate, rng, block.name).numpy())
    words = [chance.words(seeds.init, "init", block.name, total, e) for e in range(len(offered))]
    pairs = ((int(at), event) for event, found in enumerate(offered) for at in found)
    inside = range(block.begin, block.begin + block.count)
    return [
        (at - block.begin, event, int(words[event][at]))
        for at, event in sorted(pairs)
        if at in inside
    ]


PLACES = [
    kernels(20, 3, 3), kernels(7, 3, 3, 5), kernels(5, 3, 3, 1), kernels(1, 1, 1, 31),
    kernels(40, 1, 1, 16), kernels(3, 1, 5, 12),
]  # fmt: skip


@pytest.mark.parametrize("block", PLACES, ids=lambda b: f"{b.count} from {b.begin}")
@pytest.mark.parametrize("rate", [0.0, 0.004, 0.3, 1.0])
def test_offers_are_the_coins_and_words_of_the_whole_parameter(block, rate):
    seeds = Coins(rate, 12).seeds(3)
    found = Offers.of(block, seeds)
    expected = slow_offers(block, seeds, 200)
    assert list(zip(found.element, found.event, found.word)) == expected
    assert len(found.start) == block.count + 1
    assert (found.event[found.start[:-1]] == 0).all()
    assert found.start[-1] == len(expected)


def test_offers_last_to_the_next_one_and_pull_by_their_size():
    block, seeds = kernels(30, 1, 1), COINS.seeds(3)
    found = Offers.of(block, seeds)
    assert found.start[-1] > 60
    for element in range(30):
        pull, mine = 0, range(found.start[element], found.start[element + 1])
        for offer in mine:
            next_event = found.event[offer + 1] if offer + 1 in mine else COINS.events + 1
            assert found.until[offer] == next_event - found.event[offer]
            word = int(found.word[offer])
            pull += abs(word >> 25) * int(found.until[offer]) * (-1 if word < 0 else 1)
            assert found.pull[offer] == pull


def test_a_word_s_size_is_64_at_the_most():
    words = np.array([0, 2**25, -1, 2**31 - 1, -(2**31)], np.int32)
    assert size(words).tolist() == [0, 1, 1, 63, 64]


def test_roots_are_whole_and_columns_are_clipped():
    assert root(np.array([0, 1, 2, 4, 10_000])).tolist() == [0, 8, 11, 16, 800]
    found = stacked([np.array([-600, 5]), np.array([2**40, 512])])
    assert found.dtype == np.int16
    assert found.tolist() == [[-512, 512], [5, 512]]


def test_neighbours_are_counted_within_a_kernel():
    kept = np.array([1, 1, 0, 0, 1, 1, 0, 0, 1] + [1] * 9, bool)
    minus = np.array([1, 0, 0, 0, 1, 0, 0, 0, 0] + [0] * 9, bool)
    near, agree = around(kernels(2, 3, 3), kept, minus)
    # signs of the first kernel: - + . / . - + / . . +
    assert near[:9].tolist() == [2, 3, 3, 3, 4, 3, 1, 3, 2]
    assert agree[:9].tolist() == [0, -1, 1, -1, 2, 1, -1, 1, 0]
    assert near[9:].tolist() == agree[9:].tolist() == [3, 5, 3, 5, 8, 5, 3, 5, 3]


def test_a_row_has_two_neighbours_and_a_linear_weight_none():
    kept, minus = np.ones(4, bool), np.array([1, 0, 0, 1], bool)
    near, agree = around(kernels(1, 1, 4), kept, minus)
    assert (near.tolist(), agree.tolist()) == ([1, 2, 2, 1], [1, 0, 0, 1])
    near, agree = around(kernels(4, 1, 1), kept, minus)
    assert (near.tolist(), agree.tolist()) == ([0] * 4, [0] * 4)


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (6, 5, 7), (9, 40), (2, 3, 2, 3, 2)])
def test_every_bit_has_the_features_of_its_kind_and_says_what_it_was_given(shape):
    block, seeds, kept, minus, numbers = alone(shape, COINS)
    offers = Offers.of(block, seeds)
    coders = {name: Recorder() for name in FEATURES}
    pair = coders["masks"], coders["signs"]
    assert (code_masks(block, seeds, offers, pair, (kept, minus))[0] == kept).all()
    assert (code_masks(block, seeds, offers, pair, (kept, minus))[1] == minus).all()
    found = code_draws(block, seeds, offers, kept, minus, coders["draws"], numbers)
    assert (found == numbers).all()
    for name, coder in coders.items():
        for features, group, truth in coder.asked:
            assert features.dtype == np.int16
            assert features.shape == (len(truth), FEATURES[name])
            assert truth.dtype == bool
            assert group == 0
    asked = {name: sum(len(truth) for *_, truth in c.asked) for name, c in coders.items()}
    assert (asked["masks"], asked["signs"]) == (2 * block.count, 2 * np.count_nonzero(kept))


def signs_read(kept, minus, at):
    """Signs of a kernel (height, width) whose first `at` weights were read; 0 is pruned."""
    signs = np.where(kept, np.where(minus, -1, 1), 0)
    signs.reshape(-1)[at:] = 0
    return signs


def test_a_weight_knows_the_signs_that_were_read_before_it():
    block, seeds, kept, minus, _ = alone((2, 1, 3, 4), COINS)
    offers, masks = Offers.of(block, seeds), Recorder()
    code_masks(block, seeds, offers, (masks, Recorder()), (kept, minus))
    first = np.where(offers.word[offers.start[:-1]] < 0, -1, 1).reshape(2, 12)
    kept, minus = kept.reshape(2, 3, 4), minus.reshape(2, 3, 4)
    for at, (features, *_) in enumerate(masks.asked):
        y, x = divmod(at, 4)
        for kernel, row in enumerate(features.tolist()):
            read = signs_read(kept[kernel], minus[kernel], at)
            known = np.pad(read, 1)
            near = [known[y + 1, x], known[y, x + 1], known[y, x], known[y, x + 2]]
            own, total = first[kernel, at], read.sum()
            assert row[:4] == [ONE * own * sign for sign in near]
            assert row[4:6] == [16 * own * total, 16 * abs(total)]
            assert row[6] == ONE * np.abs(read).sum() // 12
            assert row[7:9] == [ONE * at // 12, ONE * (x == 0)]


def test_a_draw_is_asked_for_from_the_last_offer_of_its_sign_and_never_for_the_first():
    block, seeds, kept, minus, numbers = alone((60, 5), COINS)
    offers, coder = Offers.of(block, seeds), Recorder()
    code_draws(block, seeds, offers, kept, minus, coder, numbers)
    asked, number = 0, iter(numbers.tolist())
    for element in np.flatnonzero(kept):
        mine = slice(offers.start[element], offers.start[element + 1])
        right = offers.event[mine][(offers.word[mine] < 0) == minus[element]].tolist()
        place = right.index(next(number))
        asked += len(right) - max(place, 1)
    assert sum(len(truth) for *_, truth in coder.asked) == asked


def test_a_weight_that_no_draw_gave_its_sign_is_refused():
    block, seeds, kept, minus, _ = alone((60, 5), Coins(0.0, 2))
    minus[np.flatnonzero(kept)[3]] ^= True  # of one draw, the other sign
    offers = Offers.of(block, seeds)
    with pytest.raises(NeverOffered, match="a kept weight of p0 was offered no draw of its sign"):
        code_draws(block, seeds, offers, kept, minus, Recorder(), None)


def test_a_block_without_kept_weights_has_no_draws():
    block, seeds, nobody = kernels(4, 3, 3), COINS.seeds(1), np.zeros(36, bool)
    offers, coder = Offers.of(block, seeds), Recorder()
    found = code_draws(block, seeds, offers, nobody, nobody, coder, np.empty(0, np.int64))
    assert (found.tolist(), coder.asked) == ([], [])


def test_the_words_of_a_block_are_those_of_its_parameter():
    block = Block(0, "w", 36, 9, 3, 3)
    words = chance.words(5, "init", "w", 45, 2).numpy()
    assert block.words(5, "init", np.array([0, 8]), 2).tolist() == words[[36, 44]].tolist()
    both = block.words(5, "init", np.array([1, 1]), np.array([2, 3]))
    assert both[0] == words[37] != both[1]
