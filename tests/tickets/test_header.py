"""A header is read as it was written, or refused."""

from __future__ import annotations

import json

import attrs
import pytest

from prunekit.tickets.coding.by_odds import shapes_of
from prunekit.tickets.coding.coins import Coins
from prunekit.tickets.header import Header, Part, header_from
from tests.tickets.tinytickets import origin

PARTS = Part("a", (4, 5, 3, 3), 70), Part("b", (10, 20), 200), Part("c", (0, 3), 0)


def full(**changes):
    """A header that says something everywhere."""
    given = {"parts": PARTS, "constants": {"bn.bias": 0.1}, "values": "draws", "sha256": "ab"}
    return Header(**{"origin": origin("kaiming-uniform")} | given | changes)


def as_read(said):
    return json.loads(json.dumps(attrs.asdict(said)))


@pytest.mark.parametrize(
    "said",
    [
        full(),
        full(coins=Coins(0.1, 117)),
        full(coins=Coins(1, 0), shift=3),
        full(coins=Coins(5e-324, 2**32 - 1)),
        full(values="signs", parts=(Part("a", (2, 2), 3, 2),)),
        full(origin=origin("uniform", seed=2**64 - 1, arch=None, mean=(0.5, 1), std=(1.0, 2))),
    ],
)
def test_a_header_comes_back_from_json(said):
    found = header_from(as_read(said))
    assert found == said
    assert isinstance(found, Header)


def test_weights_are_counted():
    assert (full().total, full().kept) == (180 + 200, 270)


def test_streams_are_of_the_parts_and_the_events_of_the_coins():
    given = shapes_of(full(coins=Coins(0.1, 5), origin=origin("kaiming-uniform", seed=9)))
    assert given.names == ["a", "b", "c"]
    assert given.shapes == [(4, 5, 3, 3), (10, 20), (0, 3)]
    assert given.seeds == Coins(0.1, 5).seeds(9)
    assert (given.seeds.init, len(given.seeds.coins)) == (9, 5)


@pytest.mark.parametrize(
    ("coins", "values", "message"),
    [
        ({"rate": 1.01, "events": 2}, "draws", "no coins"),
        ({"rate": -1, "events": 2}, "draws", "no coins"),
        ({"rate": 0.1, "events": 2}, "signs", "no coins"),
        ({"rate": 0.1, "events": 2}, "initial", "no coins"),
        ({"rate": float("inf"), "events": 2}, "draws", "no number"),
        ({"rate": True, "events": 2}, "draws", "no number"),
        ({"rate": "0.1", "events": 2}, "draws", "no number"),
        ({"rate": 0.1, "events": True}, "draws", "no count"),
        ({"rate": 0.1, "events": 2.0}, "draws", "no count"),
        ({"rate": 0.1, "events": -1}, "draws", "no count"),
    ],
)
def test_other_coins_are_refused(coins, values, message):
    given = as_read(full()) | {"coins": coins, "values": values}
    with pytest.raises(ValueError, match=message):
        header_from(given)


@pytest.mark.parametrize("coins", [3, "x", [], [0.1, 2], {"rate": 0.1}, {"events": 2}, {}])
def test_what_is_no_coins_at_all_is_refused(coins):
    with pytest.raises(ValueError, match="the coins says events, rate and no more"):
        header_from(as_read(full()) | {"coins": coins})


@pytest.mark.parametrize(("kept", "turned"), [(181, 0), (3, 4)])
def test_more_than_there_is_cannot_be_kept_or_turned(kept, turned):
    given = as_read(full())
    given["parts"][0] |= {"kept": kept, "turned": turned}
    with pytest.raises(ValueError, match=f"a keeps {kept} of 180 weights"):
        header_from(given)


def test_a_parameter_has_one_part():
    given = as_read(full())
    given["parts"].append(given["parts"][0])
    with pytest.raises(ValueError, match="a parameter is named twice"):
        header_from(given)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ((), "the header says"),
        (("origin",), "the origin says"),
        (("parts", 0), "the part says"),
    ],
)
def test_what_is_unknown_or_missing_is_refused(keys, message):
    for change in (lambda there: there.update(junk=1), lambda there: there.popitem()):
        given = as_read(full())
        there = given
        for key in keys:
            there = there[key]
        change(there)
        with pytest.raises(ValueError, match=message):
            header_from(given)


@pytest.mark.parametrize(
    ("shape", "fits"), [((3, 64, 512, 512), True), ((3, 11584, 11584), False), ((), True)]
)
def test_an_input_has_no_more_numbers_than_a_long_video(shape, fits):
    given = as_read(full(origin=origin("kaiming-uniform", input_shape=shape)))
    if fits:
        assert header_from(given).origin.input_shape == shape
    else:
        with pytest.raises(ValueError, match="no input has so many numbers"):
            header_from(given)


@pytest.mark.parametrize("value", ["x" * 2000, "a\nb", [["x" * 2000]], {"a": 1}, float("nan")])
def test_options_are_short_and_plain(value):
    given = as_read(full())
    given["origin"]["arch"]["model"] = value
    with pytest.raises(ValueError, match=r"no (name|number)"):
        header_from(given)


def test_no_network_has_more_weights_than_can_be_counted():
    many = tuple(Part(str(number), (2**24, 2**23), 0) for number in range(2))
    with pytest.raises(ValueError, match="so many weights"):
        header_from(as_read(full(parts=many)))
