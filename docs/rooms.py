"""The rooms of the house, from what each imports: `python docs/rooms.py` prints and draws them.

A room is a folder or a file directly below `prunekit/`, with all that lies in it; besides, there
are the public names (`prunekit/__init__.py`), `plugins/`, `bench/` and `examples/`. An arrow leads
from a room to another that it imports, also inside a function or for types alone. The floor of a
room is the length of the longest chain of arrows down from it. An arrow is upward if it leads to a
room that the layers of `[tool.importlinter]` in pyproject.toml do not place below its own. A circle
is a set of rooms that import each other. The picture leaves out arrows that others imply; the
numbers count all.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = "prunekit"
OUTSIDE = {"plugins": "plugins/prunekit_plugins", "bench": "bench", "examples": "examples"}
PICTURE = ROOT / "docs" / "assets" / "rooms.svg"
TITLES = {
    ROOT / "prunekit" / "__init__.py": "The public names",
    ROOT / "bench": "Benchmarks: tables, never asserts",
    ROOT / "examples": "A plugin's package, and a paper's tables",
}
"""What is said of rooms whose docstring does not say it."""
Arrows = Mapping[str, frozenset[str]]
"""Room -> the rooms that it imports."""


@attrs.frozen
class House:
    """What the imports say. layers: from the roof down, as declared."""

    arrows: Arrows
    layers: tuple[frozenset[str], ...]
    says: Mapping[str, str]

    @property
    def floors(self) -> dict[str, int]:
        """Room -> its floor, 1 on the ground; the rooms of a circle share one."""
        done: dict[str, int] = {}

        def floor(room: str) -> int:
            if room not in done:
                circle = self.circle_of(room)
                below = {other for one in circle for other in self.arrows[one]} - circle
                done.update(dict.fromkeys(circle, 1 + max(map(floor, below), default=0)))
            return done[room]

        return {room: floor(room) for room in self.arrows}

    def reached(self, room: str) -> set[str]:
        """Every room that a chain of arrows leads to."""
        seen: set[str] = set()
        waiting = [*self.arrows[room]]
        while waiting:
            if (one := waiting.pop()) not in seen:
                seen.add(one)
                waiting += self.arrows[one]
        return seen

    def circle_of(self, room: str) -> frozenset[str]:
        """The room, and those that it imports and that import it, by any chain."""
        return frozenset({room} | {o for o in self.reached(room) if room in self.reached(o)})

    @property
    def circles(self) -> list[frozenset[str]]:
        found = {self.circle_of(room) for room in self.arrows}
        return sorted((circle for circle in found if len(circle) > 1), key=sorted)

    @property
    def upward(self) -> list[tuple[str, str]]:
        """Arrows that do not lead to a lower layer, (from, to)."""
        height = {room: -number for number, layer in enumerate(self.layers) for room in layer}
        return [(a, b) for a, b in pairs(self.arrows) if height[b] >= height[a]]

    def drawn(self) -> list[tuple[str, str]]:
        """Arrows that no longer chain implies, (from, to); in a circle all of them."""
        return [
            (a, b)
            for a, b in pairs(self.arrows)
            if b in self.circle_of(a)
            or not any(b in self.reached(other) for other in self.arrows[a] - self.circle_of(b))
        ]

    def numbers(self) -> dict[str, int]:
        """What the picture comes to."""
        return {
            "rooms": len(self.arrows),
            "floors": max(self.floors.values()),
            "arrows": len(pairs(self.arrows)),
            "upward": len(self.upward),
            "circles": len(self.circles),
        }


def pairs(arrows: Arrows) -> list[tuple[str, str]]:
    return [(a, b) for a in sorted(arrows) for b in sorted(arrows[a])]


def places() -> dict[str, Path]:
    """Room -> its folder or file."""
    core = ROOT / "prunekit"
    folders = {path.parent.name: path.parent for path in core.glob("*/__init__.py")}
    files = {path.stem: path for path in core.glob("*.py") if not path.stem.startswith("__")}
    outside = {room: ROOT / path for room, path in OUTSIDE.items()}
    return {**folders, **files, PUBLIC: core / "__init__.py", **outside}


def read() -> House:
    """The house of this checkout."""
    rooms = places()
    arrows = {room: frozenset(imported(path, {*rooms}) - {room}) for room, path in rooms.items()}
    says = {room: title(path) for room, path in rooms.items()}
    return House(arrows, layers(arrows), says)


def imported(path: Path, rooms: set[str]) -> set[str]:
    """The rooms that a file, or any file of a folder, imports."""
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    return {room for file in files for name in modules(file) if (room := room_of(name, rooms))}


def modules(path: Path) -> Iterator[str]:
    """Dotted name of what each import of a file names: `a.b` of `from a import b`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name: str, rooms: set[str]) -> str | None:
    """The room of a dotted name; a name of `prunekit` that is no room is a public one."""
    first, *rest = name.split(".")
    if first == "prunekit_plugins":
        return "plugins"
    if first != "prunekit":
        return None
    return rest[0] if rest and rest[0] in rooms else PUBLIC


def title(path: Path) -> str:
    """The first line of a room's docstring, up to its first colon or full stop."""
    if path in TITLES:
        return TITLES[path]
    source = path / "__init__.py" if path.is_dir() else path
    text = ast.get_docstring(ast.parse(source.read_text("utf-8"))) or ""
    return re.split(r"[:.](?:\s|$)", text, maxsplit=1)[0].replace("\n", " ")


def layers(arrows: Arrows) -> tuple[frozenset[str], ...]:
    """The declared layers from the roof down; what lies outside of the core stands above it.

    The public names stand right above the highest room that they name.
    """
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (lines,) = (one["layers"] for one in contracts["contracts"] if one["name"] == "rooms")
    core = [frozenset(room.strip() for room in re.split("[|:]", line)) for line in lines]
    at = min(number for number, layer in enumerate(core) if layer & arrows[PUBLIC])
    return (frozenset({"bench", "examples"}), frozenset({"plugins"}),
            *core[:at], frozenset({PUBLIC}), *core[at:])  # fmt: skip


def printed(house: House) -> str:
    """Rooms by floor with what they import, then the numbers."""
    floors = house.floors
    rows = [f"{floors[room]:2} {room:10} -> {' '.join(sorted(house.arrows[room])) or '-'}"
            for room in sorted(floors, key=lambda room: (-floors[room], room))]  # fmt: skip
    rows += [f"upward: {a} -> {b}" for a, b in house.upward]
    rows += [f"circle: {' '.join(sorted(circle))}" for circle in house.circles]
    return "\n".join([*rows, in_words(house)])


def in_words(house: House) -> str:
    """One line: the numbers, as docs/architecture.md holds them."""
    return ", ".join(f"{count} {what}" for what, count in house.numbers().items())


def described(house: House) -> str:
    """The numbers and the rooms by floor, for docs/architecture.md."""
    floors = house.floors
    rows = [f"| {floors[room]} | `{room}` | {house.says[room]} |"
            for room in sorted(floors, key=lambda room: (-floors[room], room))]  # fmt: skip
    head = ["| floor | room | what it says of itself |", "| --- | --- | --- |"]
    return "\n".join([f"{in_words(house)}.", "", *head, *rows])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "docs"))
    from rooms_svg import svg

    house = read()
    print(printed(house))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(svg(house), encoding="utf-8", newline="\n")
