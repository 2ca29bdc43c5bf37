"""The picture of the rooms: floors as rows, arrows down through them, plain SVG.

Sugiyama, Tagawa & Toda, 1981: an arrow over several floors gets a place of its own on each floor in
between; places are ordered by the mean of their neighbours' places, above and below in turn, then
moved sideways toward that mean as far as the others on the floor allow.
"""

from __future__ import annotations

import statistics
from html import escape
from itertools import pairwise

import attrs
from rooms import House

PITCH, HEIGHT, GAP, LANE, EDGE = 84, 44, 22, 14, 60
"""Pixels: from floor to floor, of a box, between boxes, of an arrow that passes, around all."""
SWEEPS = 40
STYLE = """
text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; text-anchor: middle; }
.name { font-size: 14px; font-weight: 600; fill: #1f2937; }
.says { font-size: 10.5px; fill: #4b5563; }
.floor { font-size: 12px; fill: #9ca3af; }
.band { fill: #f6f7f9; }
.core { fill: #ffffff; stroke: #5b6b8c; stroke-width: 1.3; }
.outside { fill: #eef4ff; stroke: #5b6b8c; stroke-width: 1.3; }
.arrow { fill: none; stroke: #8fa0bf; stroke-width: 1.3; marker-end: url(#head); }
.up { stroke: #d1242f; }
"""


@attrs.define
class Place:
    """A box, or the lane of an arrow on a floor that it passes. x: the middle, in pixels."""

    floor: int
    width: float
    room: str = ""
    above: list[Place] = attrs.field(factory=list, repr=False)
    below: list[Place] = attrs.field(factory=list, repr=False)
    x: float = 0.0


def svg(house: House) -> str:
    """The whole picture."""
    boxes = {
        room: Place(floor, max(90.0, 5.6 * len(house.says[room]) + 22), room)
        for room, floor in house.floors.items()
    }
    chains = [chain(boxes[a], boxes[b]) for a, b in house.drawn()]
    rows = arranged([*boxes.values(), *(place for one in chains for place in one[1:-1])])
    width = 2 * EDGE + max(place.x + place.width / 2 for row in rows for place in row)
    height = PITCH * len(rows) + 16
    upward = {*house.upward}
    parts = [band(number, len(rows), width) for number in range(1, len(rows) + 1)]
    parts += [arrow(one, len(rows), (one[0].room, one[-1].room) in upward) for one in chains]
    parts += [box(place, len(rows), house.says[room]) for room, place in boxes.items()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">\n'
        "<title>The rooms of prunekit and what they import</title>\n"
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0.5 L8 4 L0 7.5 z" fill="#8fa0bf"/>'
        "</marker></defs>\n"
        f'<rect width="{width:.0f}" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def chain(start: Place, end: Place) -> list[Place]:
    """The arrow's boxes and lanes, from floor to floor; those of a circle have none between."""
    step = 1 if end.floor > start.floor else -1
    lanes = [Place(floor, LANE) for floor in range(start.floor + step, end.floor, step)]
    places = [start, *lanes, end] if start.floor != end.floor else [start, end]
    for one, other in pairwise(places):
        high, low = (one, other) if one.floor > other.floor else (other, one)
        if high.floor > low.floor:
            high.below.append(low)
            low.above.append(high)
    return places


def arranged(places: list[Place]) -> list[list[Place]]:
    """Places by floor from the ground, each row from left to right; sets every x."""
    rows = [[place for place in places if place.floor == floor]
            for floor in range(1, 1 + max(place.floor for place in places))]  # fmt: skip
    for row in rows:
        pack(row, [100.0 * number for number in range(len(row))])
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 else rows[::-1]:
            wanted = {id(place): toward(place, "below" if sweep % 2 else "above") for place in row}
            if sweep < SWEEPS // 2:
                row.sort(key=lambda place: wanted[id(place)])
            pack(row, [wanted[id(place)] for place in row])
    left = min(place.x - place.width / 2 for row in rows for place in row)
    for place in places:
        place.x += EDGE - left
    return rows


def toward(place: Place, side: str) -> float:
    """Where a place wants to be: amid its neighbours on one side, or on both where none is."""
    near = getattr(place, side) or [*place.above, *place.below]
    return statistics.fmean(other.x for other in near) if near else place.x


def pack(row: list[Place], wanted: list[float]) -> None:
    """Set every x of a row as near to what is wanted as order and widths allow (isotonic means)."""
    offsets = [0.0]
    for one, other in pairwise(row):
        offsets.append(offsets[-1] + (one.width + other.width) / 2 + GAP)
    blocks: list[list[float]] = []  # runs of places that touch, each at its mean
    for want, offset in zip(wanted, offsets):
        blocks.append([want - offset])
        while len(blocks) > 1 and statistics.fmean(blocks[-2]) > statistics.fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    means = [statistics.fmean(block) for block in blocks for _ in block]
    for place, mean, offset in zip(row, means, offsets):
        place.x = mean + offset


def middle(place: Place, floors: int) -> float:
    """The y of a place, in pixels; floor 1 is at the bottom."""
    return 8 + PITCH * (floors - place.floor + 0.5)


def band(floor: int, floors: int, width: float) -> str:
    """A floor's stripe and its number."""
    y = 8 + PITCH * (floors - floor)
    stripe = f'<rect class="band" x="0" y="{y}" width="{width:.0f}" height="{PITCH}"/>\n'
    number = f'<text class="floor" x="22" y="{y + PITCH / 2 + 4:.0f}">{floor}</text>'
    return (stripe if floor % 2 else "") + number


def arrow(places: list[Place], floors: int, upward: bool) -> str:
    """A curve from box to box, straight down where it passes a floor."""
    down = 1 if places[0].floor >= places[-1].floor else -1
    x, y = places[0].x, middle(places[0], floors) + down * HEIGHT / 2
    path = [f"M{x:.1f} {y:.1f}"]
    for place in places[1:]:
        end = middle(place, floors) - down * HEIGHT / 2
        bend = (y + end) / 2
        path.append(f"C{x:.1f} {bend:.1f} {place.x:.1f} {bend:.1f} {place.x:.1f} {end:.1f}")
        x, y = place.x, end + down * HEIGHT
        if not place.room:
            path.append(f"L{x:.1f} {y:.1f}")
    return f'<path class="arrow{" up" if upward else ""}" d="{" ".join(path)}"/>'


def box(place: Place, floors: int, says: str) -> str:
    """A room: its name, and what it says of itself."""
    x, y = place.x, middle(place, floors)
    outside = place.room in ("plugins", "bench", "examples", "prunekit")
    return (
        f'<rect class="{"outside" if outside else "core"}" x="{x - place.width / 2:.1f}" '
        f'y="{y - HEIGHT / 2:.1f}" width="{place.width:.1f}" height="{HEIGHT}" rx="7"/>\n'
        f'<text class="name" x="{x:.1f}" y="{y - 3:.1f}">{place.room}</text>\n'
        f'<text class="says" x="{x:.1f}" y="{y + 13:.1f}">{escape(says)}</text>'
    )
