"""Lines, bands and marks of a chart, and its axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prunekit.errors import printable
from prunekit.reports.series import EPOCH, Chart, Point, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALL = 6.0
"""Points: the size of all letters but the names of the axes."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe & Ito's palette, told apart by colour-blind readers; without its yellow, pale on white."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
STROKES = ("-", "--", "-.", ":")
BASELINE, BASELINES = "#000000", ("--", ":", "-.")
MOST_MARKS = 30
"""Points of a line that are marked each."""
MOST_TICKS = 12
"""Values of x that have a tick each; of more, some round numbers have."""
MOST_NAMES = 24
"""Names along an axis; of more every second, third, ... is written."""
BESIDE = 3.0
"""Points that a published figure stands to the right of the measured one."""
LETTER = 0.0245
"""About the width of a letter on an axis, as a share of the axis."""


def styles(series: Sequence[Series]) -> dict[str, dict[str, Any]]:
    """Colour, mark and stroke of each line by its name, no two alike; baselines are black."""
    looks: dict[str, dict[str, Any]] = {}
    flats = {one.label: one.flat for one in series}
    many = {one.label for one in series if len(one.points) > MOST_MARKS}
    for number, label in enumerate(label for label, flat in flats.items() if flat):
        stroke = BASELINES[number % len(BASELINES)]
        looks[label] = {"color": BASELINE, "linestyle": stroke, "marker": ""}
    for number, label in enumerate(label for label, flat in flats.items() if not flat):
        turn = number // len(COLOURS)
        looks[label] = {
            "color": COLOURS[number % len(COLOURS)],
            "marker": "" if label in many else MARKS[(number + turn) % len(MARKS)],
            "linestyle": STROKES[turn % len(STROKES)],
        }
    return looks


def aside(chart: Chart, number: int) -> float:
    """How far the marks of a line stand beside the names that they belong to."""
    lines = len(chart.series)
    return 0.0 if chart.joined or lines < 2 else (number - (lines - 1) / 2) * 0.6 / lines


def draw_series(
    axes: Axes, chart: Chart, one: Series, look: Mapping[str, Any], aside: float
) -> None:
    """A line with its band, or marks with bars where x has no order; and what a paper reports."""
    from matplotlib.transforms import ScaledTranslation

    colour, label = look["color"], printable(one.label)
    if one.flat:
        stat = one.points[0].stat
        axes.axhline(stat.mean or 0, color=colour, linestyle=look["linestyle"], lw=0.9, label=label)
        if stat.std:
            axes.axhspan(*_band(stat), color=colour, alpha=0.1, lw=0)
        if one.points[0].published:
            across = axes.get_yaxis_transform()  # x as a share of the axis: a flat line has none
            draw_published(axes, 0.03, one.points[0], {**look, "marker": "o"}, transform=across)
        return
    xs = [point.x + aside for point in one.points]
    means = [_finite(point.stat.mean) for point in one.points]
    if chart.joined:
        axes.plot(xs, means, label=label, **look)
        bands = [_band(point.stat) for point in one.points]
        if any(low < high for low, high in bands):
            lows, highs = zip(*bands)
            axes.fill_between(xs, lows, highs, color=colour, alpha=0.18, lw=0)
    if not chart.joined or len(xs) == 1:
        axes.errorbar(
            xs, means, [_finite(p.stat.std or 0) for p in one.points], color=colour, lw=0.9,
            marker=look["marker"], linestyle="", capsize=1.5, label="" if chart.joined else label,
        )  # fmt: skip
    beside = axes.transData + ScaledTranslation(BESIDE / 72, 0, axes.figure.dpi_scale_trans)
    for x, point in zip(xs, one.points):
        if point.published:
            draw_published(axes, x, point, look, transform=beside)


def draw_published(
    axes: Axes, x: float, point: Point, look: Mapping[str, Any], **more: Any
) -> None:
    """A hollow mark with the paper's standard deviation as bars."""
    paper = point.published
    axes.errorbar(
        [x], [paper["mean"]], [paper.get("std", 0)], color=look["color"], marker=look["marker"],
        markerfacecolor="white", markersize=4.5, markeredgewidth=0.9, lw=0.8, capsize=2, zorder=5,
        **more,
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
    from matplotlib import ticker

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
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
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
    """A tick at each value of x, named where there is room: first the ends, then from the left."""
    values = sorted({point.x for one in chart.series if not one.flat for point in one.points})
    many = len(values) > MOST_TICKS
    if not values or (many and not (chart.log and values[-1] < 100 * values[0])):
        axes.xaxis.set_minor_formatter("")
        return
    scale = math.log if chart.log else float
    reach = (scale(values[-1]) - scale(values[0])) or 1.0
    named: list[float] = []
    for value in dict.fromkeys((values[0], values[-1], *values)):
        taken = [abs(scale(value) - scale(o)) / reach - _letters(value, o) for o in named]
        if all(room > 0 for room in taken):
            named.append(value)
    shown = sorted(named) if many else values
    axes.set_xticks(shown, [f"{v:g}" if v in named else "" for v in shown])
    axes.set_xticks([], minor=True)


def _letters(first: float, second: float) -> float:
    """The room that two numbers side by side need between their middles."""
    return LETTER * (len(f"{first:g}{second:g}") / 2 + 0.4)


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


def end_of(chart: Chart, one: Series) -> float:
    """The y at which a line leaves the axes to the right."""
    at = 0 if chart.falling else -1
    return _finite(one.points[at].stat.mean)
