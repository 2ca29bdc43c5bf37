"""The figures of a page: SVG inside of it, in the colours of the page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs
from markupsafe import Markup

from prunekit.errors import SpecError, StorageError
from prunekit.reports import figures, marks
from prunekit.reports.plots import NoPlot
from prunekit.reports.series import EPOCH, LAYER, Chart, chart
from prunekit.reports.tidy import Row

THEMED = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    "#555555": "var(--quiet)",
    "#0072b2": "var(--blue)",
}
"""Ink, paper, grey and dark blue of a figure -> those of the page, be it light or dark."""
MOST_LINES: Mapping[str | None, int] = {None: 16, EPOCH: 8, LAYER: 8}
"""What figures are of -> lines of one, at most: more of them nobody tells apart."""


@attrs.frozen
class Picture:
    svg: Markup
    title: str
    caption: str


def pictures(rows: Sequence[Row]) -> tuple[list[Picture], list[str]]:
    """What the runs came to against what varies, their curves, and their layers, if there are any.

    Then a line for each that cannot be drawn: the numbers stand elsewhere.
    """
    found, missing = dict[str, Picture](), list[str]()
    for x in MOST_LINES:
        try:
            made = _chart(rows, x)
            if made and made.x not in found:
                found[made.x] = _picture(made, f"figure{len(found) + 1}")
        except (NoPlot, StorageError) as error:
            missing.append(f"The page lacks a figure: {error}")
    return list(found.values()), list(dict.fromkeys(missing))


def _chart(rows: Sequence[Row], x: str | None) -> Chart | None:
    """None where there is nothing to draw, or too much."""
    lines = {tuple(map(repr, row.cell.values())) for row in rows}
    if x is not None and len(lines) > MOST_LINES[x]:
        return None
    try:
        made = chart(rows, x)
    except SpecError:
        return None
    points = max(len(one.points) for one in made.series)
    return made if points > 1 and len(made.series) <= MOST_LINES[x] else None


def _picture(made: Chart, prefix: str) -> Picture:
    title = f"{marks.words(made.y)} against {marks.words(made.x) or made.x}"
    return Picture(inline(figures.drawn([made]), prefix), title, marks.said_of(made))


def inline(svg: bytes, prefix: str) -> Markup:
    """An SVG file of matplotlib as an element whose ids begin with `prefix`: a page has each once.

    Its texts are shapes; the comments that spell them are left out, so no text of a file is in it.
    """
    text = svg.decode()
    text = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = text[text.index("<svg") :]
    text = re.sub(r'( id="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", text)
    for colour, themed in THEMED.items():
        text = text.replace(colour, themed)
    return Markup(text)
