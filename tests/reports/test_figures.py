from __future__ import annotations

import itertools
import struct
from xml.etree import ElementTree

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import SpecError, StorageError
from prunekit.reports import figures, marks
from prunekit.reports.cells import Stat
from prunekit.reports.series import Chart, Point, Series
from tests.reports.sweepfolders import PAPER

DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


def line(label: str, first: float, **facts: object) -> Series:
    points = [
        Point(x, Stat((first - 0.01 * n, first - 0.01 * n - 0.004), 2))
        for n, x in enumerate(DENSITIES)
    ]
    return Series(label, tuple(sorted(points, key=lambda point: point.x)), **facts)


def accuracy(count: int, gap: float = 0.02, name: str = "method") -> Chart:
    """A chart of a dense baseline and so many methods."""
    dense = Series("dense", (Point(float("nan"), Stat((0.98,), 1)),), flat=True)
    series = [line(f"{name}-{number}", 0.95 - gap * number) for number in range(count)]
    return Chart("prune.density", "test.accuracy", (dense, *series), log=True, falling=True)


def test_no_two_lines_look_alike_and_a_baseline_is_black():
    chart = accuracy(50)
    looks = marks.styles(chart.series)
    assert len({tuple(sorted(look.items())) for look in looks.values()}) == 51
    assert looks["dense"]["color"] == "#000000"
    assert looks["dense"]["linestyle"] == "--"


MACHADO = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "nobody's": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}
"""What linear RGB becomes for colour-blind readers: Machado et al., 2009, table 1, severity 1."""
LAB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@pytest.mark.parametrize("eyes", MACHADO)
def test_colours_are_told_apart_by_colour_blind_readers(eyes):
    seen = [_lab(colour, MACHADO[eyes]) for colour in (*marks.COLOURS, "#FFFFFF", "#000000")]
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 10  # a difference of 2.3 is just noticed


def _lab(colour: str, eyes: list[list[float]]) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as these eyes see it."""
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    x, y, z = LAB @ np.clip(eyes @ linear, 0, 1) / (0.9505, 1, 1.089)
    fx, fy, fz = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


@pytest.mark.parametrize(
    ("count", "gap", "name"),
    [(5, 0.02, "method"), (11, 0.0, "method"), (11, 0.03, "method"), (30, 0.01, "method"),
     (5, 0.02, "a-name-that-is-much-too-long-to-stand-beside-a-figure")],
)  # fmt: skip
def test_no_label_covers_data_another_label_or_leaves_the_figure(count, gap, name):
    made = figures.of([accuracy(count, gap, name)])
    made.canvas.draw()
    (axes,) = made.axes
    data = axes.patch.get_window_extent()
    whole = made.bbox
    texts = [*axes.texts, *(text for legend in made.legends for text in legend.get_texts())]
    assert len(texts) == count + 1
    boxes = [text.get_window_extent() for text in texts]
    assert not any(box.overlaps(data) for box in boxes)
    # a pixel is a third of a point: letters end before their boxes do
    assert not any(_shrunk(a).overlaps(_shrunk(b)) for a, b in itertools.combinations(boxes, 2))
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 + 1 for box in boxes)
    assert all(whole.y0 <= box.y0 and box.y1 <= whole.y1 + 1 for box in boxes)


def _shrunk(box):
    return box.padded(-1)


def test_labels_stand_in_the_order_of_the_lines_ends():
    made = figures.of([accuracy(3)])
    placed = {text.get_text(): text.get_position()[1] for text in made.axes[0].texts}
    assert sorted(placed, key=placed.get, reverse=True) == [
        "dense", "method-0", "method-1", "method-2",
    ]  # fmt: skip


def test_the_names_of_values_do_not_touch():
    points = tuple(Point(x, Stat((0.9,), 1)) for x in sorted((0.9, 0.8, *DENSITIES, 0.001)))
    chart = Chart("prune.density", "y", (Series("", points),), log=True, falling=True)
    made = figures.of([chart])
    made.canvas.draw()
    labels = [tick for tick in made.axes[0].get_xticklabels() if tick.get_text()]
    assert {"0.9", "0.001"} <= {label.get_text() for label in labels}
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("beside", ["a", "a-long-name-of-a-method"])
@pytest.mark.parametrize("step", [0.95, 0.8, 0.6])
@pytest.mark.parametrize("count", [12, 20])
def test_of_many_densities_some_are_named_and_none_touches_another(count, step, beside):
    points = tuple(Point(x, Stat((0.9,), 1)) for x in sorted(step**n for n in range(count)))
    assert_apart(figures.of([falling(points, beside)]))


@pytest.mark.parametrize("count", [20, 24])
def test_names_of_values_do_not_touch_beside_long_names_of_lines(count):
    points = tuple(Point(float(x), Stat((0.9,), 1)) for x in range(count))
    names = tuple(f"value-{x}" for x in range(count))
    chart = attrs.evolve(
        falling(points, "a-long-name-of-a-method"), log=False, falling=False, names=names
    )
    assert_apart(figures.of([chart]))


def falling(points: tuple[Point, ...], name: str) -> Chart:
    series = tuple(Series(f"{name}{number}", points) for number in range(2))
    return Chart("prune.density", "y", series, log=True, falling=True)


def assert_apart(made) -> None:
    """Two names of values at least are seen, and no two that overlap."""
    made.canvas.draw()
    low, high = sorted(made.axes[0].get_xlim())
    ticks = made.axes[0].get_xticklabels(which="both")
    shown = [one for one in ticks if one.get_text() and one.get_visible()]
    boxes = [t.get_window_extent() for t in shown if low <= t.get_position()[0] <= high]
    assert len(boxes) >= 2
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_density_falls_to_the_right_on_a_log_axis_with_bands_and_a_dashed_baseline():
    (axes,) = figures.of([accuracy(2)]).axes
    left, right = axes.get_xlim()
    assert (axes.get_xscale(), left > right) == ("log", True)
    assert len(axes.collections) == 2  # a band for each line; the baseline is one run
    dashed = [one for one in axes.lines if one.get_linestyle() == "--"]
    assert list(dashed[0].get_ydata()) == [0.98, 0.98]
    assert axes.get_title(loc="right") == "mean ± std, n = 1 to 2"


def test_a_band_is_one_deviation_to_each_side():
    point = Point(0.1, Stat((0.8, 0.9, 1.0), 3))
    chart = Chart("x", "y", (Series("a", (point, Point(0.2, Stat((0.5, 0.5), 2)))),))
    (axes,) = figures.of([chart]).axes
    ys = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (min(ys), max(ys)) == (pytest.approx(0.5), pytest.approx(1.0))


def test_published_figures_are_hollow_with_bars():
    one = Point(0.1, Stat((0.97,), 1), PAPER)
    dense = Series("dense", (Point(0, Stat((0.98,), 1), PAPER),), flat=True)
    chart = Chart("x", "y", (Series("a", (one, Point(0.2, Stat((0.9,), 1)))), dense))
    (axes,) = figures.of([chart]).axes
    hollow = [mark for mark in axes.lines if mark.get_markerfacecolor() == "white"]
    assert [list(mark.get_ydata()) for mark in hollow] == [[0.976], [0.976]]
    assert axes.get_title(loc="right") == "n = 1; hollow: published"


def test_names_are_written_as_they_are():
    chart = Chart("layer", "density", (line(r"$\x_{", 0.5), line("b", 0.4)), names=("$a", "b"))
    assert figures.drawn([chart], "png")[:4] == b"\x89PNG"


def test_a_figure_is_as_wide_as_a_column_in_every_format(tmp_path):
    chart = accuracy(2)
    figures.save([chart], tmp_path / "a.png")
    figures.save([chart], tmp_path / "a.svg")
    figures.save([chart], tmp_path / "a.pdf")
    png = (tmp_path / "a.png").read_bytes()
    assert struct.unpack(">I", png[16:20]) == (975,)  # 3.25 in at 300 dpi
    svg = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert svg.get("width") == "234pt"  # 3.25 in of 72 points
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert pdf[:5] == b"%PDF-"
    assert b"/MediaBox [ 0 0 234 " in pdf


@pytest.mark.parametrize("format", ["pdf", "svg", "png"])
def test_the_same_chart_is_the_same_file(format):
    assert figures.drawn([accuracy(2)], format) == figures.drawn([accuracy(2)], format)


def test_another_suffix_or_folder_is_refused(tmp_path):
    with pytest.raises(SpecError, match=r"must end in one of .pdf, .svg, .png"):
        figures.save([accuracy(1)], tmp_path / "a.gif")
    with pytest.raises(StorageError, match="cannot write"):
        figures.save([accuracy(1)], tmp_path / "none" / "a.png")


def test_charts_side_by_side_share_colours():
    curves = Chart("epoch", "y", (line("a", 0.5), line("b", 0.4)))
    layers = Chart("layer", "density", (line("b", 0.4),), names=("conv", "fc"))
    left, right = figures.of([curves, layers]).axes
    assert left.lines[1].get_color() == right.lines[0].get_color()
    assert len(right.texts) == 2


def test_a_chart_of_one_line_has_no_label():
    chart = Chart("x", "y", (line("", 0.5),))
    made = figures.of([chart])
    assert ([*made.axes[0].texts], made.legends) == ([], [])


def test_hundreds_of_lines_are_drawn_without_names():
    made = figures.of([accuracy(60, 0.001)])
    assert ([*made.axes[0].texts], made.legends) == ([], [])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_labels_are_put_apart_in_order_and_near(wanted):
    places = figures.apart(wanted, 0.1)
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    placed = [places[at] for at in order]
    assert all(b - a > 0.1 - 1e-9 for a, b in itertools.pairwise(placed))
    assert all(0.05 - 1e-9 <= place <= 0.95 + 1e-9 for place in places)
    if all(b - a >= 0.1 for a, b in itertools.pairwise(sorted(wanted))):
        assert places == pytest.approx([min(max(w, 0.05), 0.95) for w in wanted], abs=0.1)
