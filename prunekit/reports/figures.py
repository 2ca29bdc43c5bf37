"""Figures at the width of a paper's column, as PDF, SVG or PNG: readable without touching them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunekit.errors import SpecError, printable
from prunekit.reports.marks import SMALL, aside, draw_series, end_of, finish, styles
from prunekit.reports.plots import by_matplotlib, figure
from prunekit.reports.series import Chart
from prunekit.storage.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.25
"""Inches: the width of a column of ICML, ICLR's half, IEEE's about."""
HEIGHT, FONT = 2.3, 7.0
FORMATS: Mapping[str, Mapping[str, Any]] = {
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
    "png": {"dpi": 300},
}
"""Suffix -> how it is written: no date is, so that the same figure is the same file."""
STYLE: Any = {
    "font.size": FONT, "axes.titlesize": SMALL, "axes.labelsize": FONT, "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL, "legend.fontsize": SMALL, "axes.linewidth": 0.6,
    "lines.linewidth": 1.1, "lines.markersize": 3.2, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "axes.spines.top": False, "axes.spines.right": False, "pdf.fonttype": 42,
    "svg.hashsalt": "prunekit", "svg.fonttype": "path", "axes.unicode_minus": True,
}  # fmt: skip
LINE = SMALL * 1.25 / 72
"""Inches from one label to the next."""
LONGEST = 24
"""Characters of a name beside the axes, at most."""
MOST_LINES = 48
"""Lines that have names."""


def format_of(path: str | Path) -> str:
    """The format that a file's suffix asks for; SpecError for one that is not written."""
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        offer = ", ".join(f".{name}" for name in FORMATS)
        raise SpecError(f"{path} must end in one of {offer}, which say how it is drawn")
    return suffix


def save(charts: Sequence[Chart], path: str | Path) -> None:
    """Draw charts side by side into a file; StorageError where it cannot be written."""
    write_bytes(path, drawn(charts, format_of(path)))


@by_matplotlib()
def drawn(charts: Sequence[Chart], format: str = "svg") -> bytes:
    """Charts as the content of a file of a format: pdf, svg or png."""
    import matplotlib

    image, made = io.BytesIO(), of(charts)
    with matplotlib.rc_context(STYLE):
        made.savefig(image, format=format, **FORMATS[format])
    return image.getvalue()


@by_matplotlib()
def of(charts: Sequence[Chart], height: float = HEIGHT) -> Figure:
    """Charts as a figure of matplotlib, each a column wide; `height` in inches.

    A line has the same colour in all of them. Its name stands beside the last chart; where there
    is no room, in a legend below; of very many lines nowhere.
    """
    import matplotlib

    labels = list(dict.fromkeys(one.label for chart in charts for one in chart.series))
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
        looks = styles([one for chart in charts for one in chart.series])
        beside = len(labels) <= int((height - 0.5) / LINE) and max(map(len, labels)) <= LONGEST
        columns = 1 if max(map(len, labels)) > 2 * LONGEST else 2 * len(charts)
        below = 0 if beside or len(labels) > MOST_LINES else math.ceil(len(labels) / columns)
        made = figure(COLUMN * len(charts), height + below * LINE)
        for axes, chart in zip(made.subplots(1, len(charts), squeeze=False)[0], charts):
            for number, one in enumerate(chart.series):
                draw_series(axes, chart, one, looks[one.label], aside(chart, number))
            finish(axes, chart)
        if beside and len(labels) > 1:
            label_lines(made, axes, charts[-1], looks)
            for each in made.axes:
                thin(made, each)
        elif below:
            legend_below(made, labels, looks, columns)
    return made


def label_lines(
    made: Figure, axes: Axes, chart: Chart, looks: Mapping[str, Mapping[str, Any]]
) -> None:
    """The name of each line to the right of the axes, near its end, none upon another."""
    made.canvas.draw()
    low, high = axes.get_ylim()
    gap = LINE * made.dpi / axes.get_window_extent().height
    ends = {one.label: (end_of(chart, one) - low) / ((high - low) or 1.0) for one in chart.series}
    labels, across = list(looks), axes.transAxes
    for label, place in zip(labels, apart([ends.get(label, 0.0) for label in labels], gap)):
        stroke = {**looks[label], "markevery": [1], "transform": across, "clip_on": False}
        axes.plot([1.02, 1.06, 1.1], [place] * 3, **stroke)
        axes.text(
            1.12, place, printable(label), transform=across, va="center", fontsize=SMALL,
            parse_math=False,
        )  # fmt: skip


def thin(made: Figure, axes: Axes) -> None:
    """Hide the names of values that touch others, since names of lines have taken their room."""
    from matplotlib.ticker import FixedLocator

    if not isinstance(axes.xaxis.get_major_locator(), FixedLocator):
        return
    made.canvas.draw()
    names = [label for label in axes.get_xticklabels() if label.get_text()]
    kept: list[Any] = []
    for label in dict.fromkeys((*names[:1], *names[-1:], *names)):
        box = label.get_window_extent()
        if any(box.overlaps(other) for other in kept):
            label.set_visible(False)
        else:
            kept.append(box.padded(1))


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Places near the wanted ones, in their order, at least `gap` apart; inside 0-1 if they fit."""
    order = sorted(range(len(wanted)), key=lambda at: (math.isnan(wanted[at]), wanted[at]))
    groups: list[tuple[float, int]] = []  # middle of a block of labels, and how many it has
    for at in order:
        middle, size = (0.0 if math.isnan(wanted[at]) else wanted[at]), 1
        while groups and middle - groups[-1][0] < (size + groups[-1][1]) / 2 * gap:
            other, count = groups.pop()
            middle, size = (middle * size + other * count) / (size + count), size + count
        groups.append((_inside(middle, size * gap), size))
    places = [m + (k - (size - 1) / 2) * gap for m, size in groups for k in range(size)]
    return [place for _, place in sorted(zip(order, places))]


def _inside(middle: float, length: float) -> float:
    """The middle of a block moved so that the block lies in 0-1, or around 0.5 if it cannot."""
    return 0.5 if length > 1 else min(max(middle, length / 2), 1 - length / 2)


def legend_below(
    made: Figure, labels: Sequence[str], looks: Mapping[str, Mapping[str, Any]], columns: int
) -> None:
    """A legend below the axes, for more lines than there is room beside them."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **looks[label]) for label in labels]
    names = [printable(label) for label in labels]
    legend = made.legend(
        handles, names, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.5
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
