"""A figure of matplotlib as a piece of a page, in the colours of the page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from markupsafe import Markup

from prunekit.reports.plots import by_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THEMED = {"#000000": "currentColor", "#ffffff": "var(--paper)"}
"""Ink and paper of a figure -> those of the page, be it light or dark."""
SETTINGS = {"svg.fonttype": "path", "svg.hashsalt": "prunekit"}
"""Letters are shapes, so that no font of the reader moves them; ids are the same each time."""


@by_matplotlib()
def inline(made: Figure, prefix: str) -> Markup:
    """The figure as an `<svg>` whose ids begin with `prefix`: a page has each id once.

    Texts of the figure become shapes; the comments that spell them are left out.
    """
    import matplotlib

    image = io.StringIO()
    with matplotlib.rc_context(SETTINGS):
        made.savefig(image, format="svg", metadata={"Date": None})
    text = image.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'( id="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", text)
    for colour, themed in THEMED.items():
        text = text.replace(colour, themed)
    return Markup(text)  # noqa: S704 -- matplotlib's own markup, without any text of a file
