"""The picture of the rooms: floors, arrows and circles as imports make them, drawn and counted."""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path

import pytest
import rooms
import rooms_svg

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"


def house(arrows: dict[str, str], *layers: str) -> rooms.House:
    """Arrows as room -> "room room"; layers as "room room" from the roof down."""
    return rooms.House(
        {room: frozenset(others.split()) for room, others in arrows.items()},
        tuple(frozenset(layer.split()) for layer in layers),
        {room: f"what {room} is for" for room in arrows},
    )


SMALL = house({"roof": "wall floor", "wall": "floor", "floor": ""}, "roof", "wall", "floor")
BENT = house(
    {"roof": "wall", "wall": "floor", "floor": "wall cellar", "cellar": ""},
    *("roof", "wall", "floor", "cellar"),
)


def test_a_floor_is_the_longest_chain_down():
    assert SMALL.floors == {"roof": 3, "wall": 2, "floor": 1}
    assert SMALL.numbers() == {"rooms": 3, "floors": 3, "arrows": 3, "upward": 0, "circles": 0}


def test_an_arrow_that_others_imply_is_counted_and_not_drawn():
    assert SMALL.drawn() == [("roof", "wall"), ("wall", "floor")]


def test_a_circle_shares_a_floor_and_has_an_arrow_upward():
    assert BENT.floors == {"roof": 3, "wall": 2, "floor": 2, "cellar": 1}
    assert BENT.circles == [frozenset({"wall", "floor"})]
    assert BENT.upward == [("floor", "wall")]
    assert ("floor", "wall") in BENT.drawn()


def test_an_arrow_within_a_layer_is_upward():
    assert house({"a": "b", "b": ""}, "a b").upward == [("a", "b")]


def test_imports_in_functions_and_for_types_are_arrows(tmp_path):
    (tmp_path / "room.py").write_text(
        "import os\nimport prunekit\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from prunekit.draws.chance import generator\n"
        "def late():\n    from prunekit import errors, Masks\n    import prunekit_plugins.snip\n"
    )
    found = rooms.imported(tmp_path, {"draws", "errors", "runs"})
    assert found == {"prunekit", "draws", "errors", "plugins"}


def test_every_room_of_the_core_has_a_declared_layer():
    read = rooms.read()
    assert sorted(room for layer in read.layers for room in layer) == sorted(read.arrows)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert contracts["root_packages"] == ["prunekit", "prunekit_plugins"]


def test_every_room_says_what_it_is_for():
    assert [room for room, says in rooms.read().says.items() if not 8 <= len(says) <= 60] == []


@pytest.mark.parametrize("drawn", [SMALL, BENT, rooms.read()], ids=["small", "bent", "this"])
def test_the_picture_holds_every_room_and_no_box_covers_another(drawn):
    picture = ElementTree.fromstring(rooms_svg.svg(drawn))
    names = [text.text for text in picture.iter(f"{SVG}text") if text.get("class") == "name"]
    assert sorted(names) == sorted(drawn.arrows)
    curves = [one for one in picture.iter(f"{SVG}path") if "arrow" in one.get("class", "")]
    assert len(curves) == len(drawn.drawn())
    boxes = [
        [float(one.get(key)) for key in ("x", "y", "width", "height")]
        for one in picture.iter(f"{SVG}rect")
        if one.get("class") in ("core", "outside")
    ]
    for (x, y, w, h), (x2, y2, w2, h2) in combinations(boxes, 2):
        assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_the_picture_and_the_numbers_in_the_docs_are_those_of_this_checkout():
    read = rooms.read()
    assert rooms.PICTURE.read_text("utf-8") == rooms_svg.svg(read), "run `python docs/rooms.py`"
    assert rooms.in_words(read) in (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_every_file_that_the_docs_name_stands_in_its_room():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    (block,) = (part for part in text.split("```") if part.startswith("text\nspec/"))
    for line in block.removeprefix("text\n").splitlines():
        first, *others = re.findall(r"[\w/]+\.py", line)
        folder = (ROOT / "prunekit" / first).parent
        assert (ROOT / "prunekit" / first).is_file(), first
        assert [name for name in others if not (folder / name).is_file()] == [], first


def test_the_house_has_few_rooms_and_every_arrow_leads_down():
    numbers = rooms.read().numbers()
    most = {"rooms": 26, "floors": 14, "arrows": 142, "upward": 0, "circles": 0}
    assert {what for what, count in numbers.items() if count > most[what]} == set()
