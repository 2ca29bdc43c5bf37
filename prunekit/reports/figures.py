"""Figures at the width of a paper's column, as PDF, SVG or PNG: readable without touching them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunekit.errors import SpecError, printable
from prunekit.reports.plots import by_matplotlib, figure
from prunekit.reports.series import EPOCH, Chart, Point, Series
from prunekit.storage.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.25
"""Inches: the width of a column of ICML, ICLR's half, IEEE's about."""
HEIGHT, FONT, SMALL = 2.3, 7.0, 6.0
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe & Ito's palette, told apart by colour-blind readers; without its yellow, pale on white."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
STROKES = ("-", "--", "-.", ":")
BASELINE, BASELINES = "#000000", ("--", ":", "-.")
FORMATS: Mapping[str, Mapping[str, Any]] = {
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
    "png": {"dpi": 300},
}
"""Suffix -> how it is written: no date is, so that the same figure is the same file."""
STYLE = {
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
MOST_NAMES = 24
"""Names along an axis; of more every second, third, ... is written."""


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
                draw_series(axes, chart, one, looks[one.label], _aside(chart, number))
            finish(axes, chart)
        if beside and len(labels) > 1:
            label_lines(made, axes, charts[-1], looks)
        elif below:
            legend_below(made, labels, looks, columns)
    return made


def styles(series: Sequence[Series]) -> dict[str, dict[str, Any]]:
    """Colour, mark and stroke of each line by its name, no two alike; baselines are black."""
    looks: dict[str, dict[str, Any]] = {}
    flats = {one.label: one.flat for one in series}
    for number, label in enumerate(label for label, flat in flats.items() if flat):
        stroke = BASELINES[number % len(BASELINES)]
        looks[label] = {"color": BASELINE, "linestyle": stroke, "marker": ""}
    for number, label in enumerate(label for label, flat in flats.items() if not flat):
        turn = number // len(COLOURS)
        looks[label] = {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKS[(number + turn) % len(MARKS)],
            "linestyle": STROKES[turn % len(STROKES)],
        }
    return looks


def _aside(chart: Chart, number: int) -> float:
    """How far the marks of a line stand beside the names that they belong to."""
    lines = len(chart.series)
    return 0.0 if chart.joined or lines < 2 else (number - (lines - 1) / 2) * 0.6 / lines


def draw_series(
    axes: Axes, chart: Chart, one: Series, look: Mapping[str, Any], aside: float
) -> None:
    """A line with its band, or marks with bars where x has no order; and what a paper reports."""
    colour, label = look["color"], printable(one.label)
    if one.flat:
        stat = one.points[0].stat
        axes.axhline(stat.mean or 0, color=colour, linestyle=look["linestyle"], lw=0.9, label=label)
        if stat.std:
            axes.axhspan(*_band(stat), color=colour, alpha=0.1, lw=0)
        return
    xs = [point.x + aside for point in one.points]
    means = [_finite(point.stat.mean) for point in one.points]
    few = len(xs) <= 30
    if chart.joined:
        shown = {**look, "marker": look["marker"] if few else ""}
        axes.plot(xs, means, label=label, **shown)
        bands = [_band(point.stat) for point in one.points]
        if any(low < high for low, high in bands):
            axes.fill_between(xs, *zip(*bands), color=colour, alpha=0.18, lw=0)
    if not chart.joined or len(xs) == 1:
        axes.errorbar(
            xs, means, [_finite(p.stat.std or 0) for p in one.points], color=colour, lw=0.9,
            marker=look["marker"], linestyle="", capsize=1.5, label="" if chart.joined else label,
        )  # fmt: skip
    for x, point in zip(xs, one.points):
        if point.published:
            draw_published(axes, x, point, look)


def draw_published(axes: Axes, x: float, point: Point, look: Mapping[str, Any]) -> None:
    """A hollow mark with the paper's standard deviation as bars."""
    paper = point.published
    axes.errorbar(
        [x], [paper["mean"]], [paper.get("std", 0)], color=look["color"], marker=look["marker"],
        markerfacecolor="white", markersize=4.5, markeredgewidth=0.9, lw=0.8, capsize=2, zorder=5,
    )  # fmt: skip


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else math.nan


def _band(stat: Any) -> tuple[float, float]:
    """One standard deviation to each side of the mean."""
    mean, std = _finite(stat.mean), stat.std or 0.0
    std = std if math.isfinite(std) else 0.0
    return mean - std, mean + std


def finish(axes: Axes, chart: Chart) -> None:
    """Names of the axes, ticks at the values that occur, and of how many runs it is."""
    axes.set_xlabel(words(chart.x), parse_math=False)
    axes.set_ylabel(words(chart.y), parse_math=False)
    axes.grid(axis="y", color="#000000", alpha=0.12, lw=0.5)
    axes.set_axisbelow(True)
    if chart.log:
        axes.set_xscale("log")
    if chart.falling:
        axes.invert_xaxis()
    if chart.names:
        _name_places(axes, chart)
    elif chart.x == EPOCH:
        axes.xaxis.get_major_locator().set_params(integer=True)
    else:
        _tick_values(axes, chart)
    axes.set_title(said_of(chart), loc="right", color="#555555", pad=3, fontsize=SMALL)


def words(key: str) -> str:
    """A key as the name of an axis: prune.density -> density; test.accuracy -> test accuracy."""
    own = {"prune.density": "density (share of weights kept)", "layer": ""}
    return printable(own.get(key, key.replace(".", " ").replace("_", " ")))


def said_of(chart: Chart) -> str:
    """What the marks and bands are, and of how many runs."""
    low, high = min(chart.counts, default=0), max(chart.counts, default=0)
    count = f"n = {high}" if low == high else f"n = {low} to {high}"
    said = f"mean ± std, {count}" if high > 1 else count
    hollow = any(point.published for one in chart.series for point in one.points)
    return f"{said}; hollow: published" if hollow else said


def _tick_values(axes: Axes, chart: Chart) -> None:
    """A tick at each value of x, named where there is room."""
    values = sorted({point.x for one in chart.series if not one.flat for point in one.points})
    if not values or (len(values) > 12 and not chart.log):
        return
    scale = math.log if chart.log else float
    reach = (scale(values[-1]) - scale(values[0])) or 1.0
    named: list[float] = []
    for value in values:
        if not named or (scale(value) - scale(named[-1])) / reach > 0.09:
            named.append(value)
    axes.set_xticks(values, [f"{v:g}" if v in named else "" for v in values])
    axes.set_xticks([], minor=True)


def _name_places(axes: Axes, chart: Chart) -> None:
    """The name of each place; long ones and many ones upright."""
    every = math.ceil(len(chart.names) / MOST_NAMES)
    places = range(0, len(chart.names), every)
    names = [_short(chart.names[place]) for place in places]
    upright = sum(map(len, names)) > 36
    axes.set_xticks(
        places, names, rotation=90 if upright else 0, parse_math=False, fontsize=SMALL - upright
    )
    axes.set_xlim(-0.5, len(chart.names) - 0.5)


def _short(name: str) -> str:
    name = printable(name).removesuffix(".weight")
    return name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}"


def label_lines(
    made: Figure, axes: Axes, chart: Chart, looks: Mapping[str, Mapping[str, Any]]
) -> None:
    """The name of each line to the right of the axes, near its end, none upon another."""
    made.canvas.draw()
    low, high = axes.get_ylim()
    gap = LINE * made.dpi / axes.get_window_extent().height
    ends = {one.label: (_end(chart, one) - low) / ((high - low) or 1.0) for one in chart.series}
    labels, across = list(looks), axes.transAxes
    for label, place in zip(labels, apart([ends.get(label, 0.0) for label in labels], gap)):
        stroke = {**looks[label], "markevery": [1], "transform": across, "clip_on": False}
        axes.plot([1.02, 1.06, 1.1], [place] * 3, **stroke)
        axes.text(
            1.12, place, printable(label), transform=across, va="center", fontsize=SMALL,
            parse_math=False,
        )  # fmt: skip


def _end(chart: Chart, one: Series) -> float:
    """The y at which a line leaves the axes to the right."""
    at = 0 if chart.falling else -1
    return _finite(one.points[at].stat.mean)


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
