"""Masks and draws come back from their streams, and nothing else comes from others."""

from __future__ import annotations

import math
import random

import attrs
import numpy as np
import pytest
import torch
import torchvision

from prunekit.tickets.coding.by_odds import STREAMS, Coins, Shapes, Truth, coded, decoded
from prunekit.tickets.coding.contexts import FEATURES
from tests.tickets.simulated import COINS, iterand

SHAPES = (24, 16, 3, 3), (60, 70), (20, 10, 5)


@pytest.fixture(scope="module")
def redraws():
    """(Shapes, Truth) of three parameters."""
    return iterand(SHAPES, COINS)


@pytest.fixture(scope="module")
def streams(redraws):
    """(streams, numbers of their odds); nobody changes them."""
    return split(coded(*redraws))


def split(found):
    assert tuple(found) == STREAMS
    return [stream for stream, _ in found.values()], [odds.flat for _, odds in found.values()]


def same(truth, masks, numbers):
    """Whether these are the masks and draw numbers of `truth`."""
    pairs = [*zip(truth.masks, masks, strict=True), *zip(truth.numbers, numbers, strict=True)]
    return all(a.shape == b.shape and (a == b).all() for a, b in pairs)


def comes_back(given, truth):
    """Code, decode and compare; returns bytes by stream."""
    content, fitted = split(coded(given, truth))
    masks, numbers = decoded(given, content, fitted)
    assert same(truth, masks, numbers)
    assert {(mask.dtype, number.dtype) for mask, number in zip(masks, numbers)} == {
        (np.dtype(bool), np.dtype(np.int64))
    }
    return dict(zip(STREAMS, map(len, content)))


def test_masks_and_draws_come_back(redraws, streams):
    assert same(redraws[1], *decoded(redraws[0], *streams))


def test_they_come_back_whatever_the_number_of_threads(redraws, streams):
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            assert same(redraws[1], *decoded(redraws[0], *streams))
        finally:
            torch.set_num_threads(before)


def test_equal_redraws_give_equal_bytes(redraws, streams):
    content, fitted = split(coded(*redraws))
    assert content == streams[0]
    assert all((one == other).all() for one, other in zip(fitted, streams[1]))


def test_a_parameter_of_several_blocks_comes_back():
    given, truth = iterand([(4, 5), (60, 63, 3, 3)], Coins(0.01, 1000))
    assert [block.group for block in given.blocks()] == [0, 1, 1]
    comes_back(given, truth)


@pytest.mark.parametrize("coins", [Coins(0.0, 3), Coins(1e-4, 2), Coins(1.0, 4), Coins(0.5, 0)])
def test_any_rate_and_number_of_events_comes_back(coins):
    comes_back(*iterand([(9, 8, 3, 3), (30, 40)], coins))


def test_parameters_of_which_nothing_or_everything_is_kept_come_back():
    given, _ = iterand([(9, 8, 3, 3), (30, 40), (3, 0), (1, 1, 1, 1), (7,)], COINS)
    masks = [np.zeros(648, bool), np.ones(1200, bool), *(np.ones(n, bool) for n in (0, 1, 7))]
    numbers = [np.zeros(np.count_nonzero(mask), np.int64) for mask in masks]
    comes_back(given, Truth.of(masks, numbers))
    nothing = [np.zeros_like(mask) for mask in masks]
    comes_back(given, Truth.of(nothing, [np.empty(0, np.int64)] * 5))


def test_a_draw_that_no_coin_offered_is_not_coded(redraws):
    given, truth = redraws
    with_more = [part.copy() for part in truth.numbers]
    with_more[1][5] = COINS.events + 1
    assert coded(given, Truth.of(truth.masks, with_more)) is None
    other = attrs.evolve(given, seeds=COINS.seeds(8))  # the coins of another run
    assert coded(other, truth) is None


def test_a_draw_number_is_coded_at_the_event_of_its_coin_only(redraws):
    given, truth = redraws
    late = [np.where(part > 0, part - 1, part) for part in truth.numbers]
    assert coded(given, Truth.of(truth.masks, late)) is None


def test_streams_of_another_length_are_refused(redraws, streams):
    for number in range(3):
        for change in (lambda s: s[:-4], lambda s: s + b"\0" * 4, lambda s: s[:7], lambda s: b""):
            content = list(streams[0])
            content[number] = change(content[number])
            with pytest.raises(ValueError, match=r"the code|no code|no draw of its sign"):
                decoded(redraws[0], content, streams[1])


def test_flipped_bits_of_streams_are_found_out(redraws, streams):
    chance = random.Random(0)
    for _ in range(30):
        content = [bytearray(stream) for stream in streams[0]]
        stream = chance.choice(content)
        stream[chance.randrange(len(stream))] ^= 1 << chance.randrange(8)
        with pytest.raises(ValueError, match=r"the code|no code|no draw of its sign"):
            decoded(redraws[0], [bytes(s) for s in content], streams[1])


def test_flipped_bits_of_odds_are_found_out_or_act_on_nothing(redraws, streams):
    chance, refused = random.Random(1), 0
    for _ in range(30):
        fitted = [part.copy() for part in streams[1]]
        part = chance.choice(fitted)
        part[chance.randrange(len(part))] ^= 1 << chance.randrange(7, 15)
        try:
            found = decoded(redraws[0], streams[0], fitted)
        except ValueError:
            refused += 1
        else:  # a unit that no feature wakes
            assert same(redraws[1], *found)
    assert refused > 15


@pytest.mark.parametrize(("rate", "events", "seed"), [(0.3, 9, 8), (0.3, 8, 7), (0.2, 9, 7)])
def test_other_seeds_rates_or_events_are_refused(redraws, streams, rate, events, seed):
    other = attrs.evolve(redraws[0], seeds=Coins(rate, events).seeds(seed))
    with pytest.raises(ValueError, match=r"the code|no draw of its sign"):
        decoded(other, *streams)


def test_other_shapes_or_names_are_refused(redraws, streams):
    given, _ = redraws
    shapes, names = [(24, 16, 9, 1), *SHAPES[1:]], ["q0", "p1", "p2"]
    for other in (attrs.evolve(given, shapes=shapes), attrs.evolve(given, names=names)):
        with pytest.raises(ValueError, match=r"the code|no draw of its sign"):
            decoded(other, *streams)
    with pytest.raises(ValueError, match=f"no odds of {FEATURES['masks']} features"):
        decoded(Shapes(given.names[:2], SHAPES[:2], given.seeds), *streams)


def test_odds_of_another_type_are_refused(redraws, streams):
    for number in range(3):
        for dtype in (np.int32, np.float32, np.uint16):
            fitted = list(streams[1])
            fitted[number] = fitted[number].astype(dtype)
            with pytest.raises(ValueError, match="no odds of 20 features"):
                decoded(redraws[0], streams[0], fitted)


def test_signs_that_neighbours_share_make_masks_and_signs_shorter():
    """40 % are kept both times; once, of each kernel, mostly weights of one sign."""
    given, _ = iterand([(60, 60, 3, 3)], Coins(0.3, 0))
    (block,) = given.blocks()
    rng, everyone = np.random.default_rng(0), np.arange(block.count)
    right = np.repeat(rng.random(block.count // 9) < 0.5, 9)
    agrees = (block.words(given.seeds.init, "init", everyone) < 0) == right
    spent = []
    for share in (0.4, np.where(agrees, 0.75, 0.05)):
        mask = rng.random(block.count) < share
        spent.append(comes_back(given, Truth.of([mask], [np.zeros(mask.sum(), np.int64)])))
    alone, together = spent
    assert alone["masks"] > 0.96 * block.count / 8
    assert together["masks"] < 0.9 * alone["masks"]


def test_draws_cost_less_than_their_entropy_alone():
    """Of 50 events every draw number may occur, but coins of r = 0.1 offered few of them each."""
    given, truth = iterand([(200, 300)], Coins(0.1, 50))
    spent = comes_back(given, truth)
    share = np.bincount(truth.numbers[0]) / len(truth.numbers[0])
    entropy = -(share[share > 0] * np.log2(share[share > 0])).sum() * len(truth.numbers[0]) / 8
    assert spent["draws"] + spent["signs"] < 0.75 * entropy


@pytest.mark.parametrize(
    ("coins", "shapes", "size", "bearable"),
    [
        (Coins(0.1, 117), [(512, 512, 3, 3)] * 5, 3_000_000, True),
        (Coins(0.1, 1040), [(512, 512, 3, 3)] * 11, 8_000_000, True),  # as ResNet-50 on ImageNet
        (Coins(0.1, 1040), [(512, 512, 3, 3)] * 11, 100_000, False),
        (Coins(0.1, 1), [(2**26,)], 2**22, True),
        (Coins(0.1, 2**16), [], 0, False),
        (Coins(0.1, 2**40), [(1,)], 2**30, False),
        (Coins(0.1, 2**16 - 1), [(2**16,)], 0, False),  # 128 blocks of many events
        (Coins(0.1, 0), [(1, 1, 2**9, 2**9)], 0, False),  # one kernel of many places
        (Coins(0.1, 1), [(1, 1, 2**60, 2**60)], 2**30, False),
        (Coins(0.1, 1), [(1, 1, 9, 9)] * 900, 0, False),
        (Coins(0.1, 300), [(2**25,)], 0, False),
        (Coins(0.1, 300), [(2**25,)], 2**22, True),
        (Coins(0.99, 2**15 - 1), [(1, 1, 128, 256)], 12_000, False),  # one kernel of 2^30 cells
        (Coins(0.99, 63), [(2**13, 2**13)], 12_000, False),  # 4 10^9 offers
    ],
)
def test_a_file_may_ask_for_what_an_honest_one_of_its_size_needs(coins, shapes, size, bearable):
    assert coins.bearable(shapes, size) is bearable


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "wide_resnet50_2"])
def test_every_network_of_the_imagenet_recipes_may_have_their_1040_events(name):
    with torch.device("meta"):
        model = getattr(torchvision.models, name)()
    shapes = [tuple(p.shape) for p in model.parameters() if p.ndim > 1]
    assert Coins(0.1, 1040).bearable(shapes, sum(map(math.prod, shapes)) // 8)
