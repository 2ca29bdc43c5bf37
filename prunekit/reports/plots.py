"""Plots of a run as PNG, by matplotlib's Agg canvas; matplotlib is imported when one is drawn."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunekit.errors import PrunekitError, SpecError, out_of_memory, printable
from prunekit.storage.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FAULTS = (AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What matplotlib raises that is broken, or is told nonsense by MPLBACKEND or a matplotlibrc."""


class NoPlot(SpecError):
    """matplotlib cannot be imported here, or cannot draw."""


@contextlib.contextmanager
def by_matplotlib() -> Iterator[None]:
    """NoPlot, in one line, for what matplotlib raises inside, but where memory is short."""
    try:
        yield
    except PrunekitError:
        raise
    except FAULTS as error:
        if out_of_memory(error):
            raise
        raise NoPlot(
            f"matplotlib cannot draw here ({type(error).__name__}: {error!s:.300}); see to "
            "MPLBACKEND, matplotlibrc, MPLCONFIGDIR or its installation"
        ) from error


@by_matplotlib()
def figure(width: float, height: float) -> Figure:
    """A figure that no global state knows of; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


@by_matplotlib()
def save(made: Figure, path: str | Path) -> None:
    """Write the PNG atomically; StorageError when the folder cannot be written."""
    image = io.BytesIO()
    made.savefig(image, format="png", dpi=120)
    write_bytes(path, image.getvalue())


@by_matplotlib()
def plot_layers(layers: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Density (0-1) of each layer, in definition order, as a PNG."""
    made = figure(7, min(40.0, 1.2 + 0.22 * len(layers)))
    axes = made.subplots()
    places = range(len(layers))
    axes.barh(places, [row["density"] for row in layers], color="tab:blue")
    axes.set_yticks(
        places, [printable(row["name"]) for row in layers], fontsize=7, parse_math=False
    )
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="density (share of weights kept)")
    save(made, path)


@by_matplotlib()
def plot_curves(lines: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Loss, and accuracy (0-1) where there is one, against epochs, in order of the metrics lines,
    as a PNG."""
    losses, known = (
        any(w in key for line in lines for key in line) for w in (".loss", ".accuracy")
    )
    shown = ["loss", "accuracy"] if known or not losses else ["loss"]
    made = figure(4.5 * len(shown), 3.5)
    for axes, what in zip(made.subplots(1, len(shown), squeeze=False)[0], shown):
        for split in ("train", "validation", "test"):
            _curve(axes, lines, f"{split}.{what}", split)
        _finish_axes(axes, what)
    save(made, path)


def _curve(axes: Any, lines: Sequence[Mapping[str, Any]], key: str, label: str) -> None:
    """One curve: epochs are counted through, since rounds that train begin at 1 again."""
    epochs = [line for line in lines if line.get("kind") == "epoch"]
    points = [(number, line[key]) for number, line in enumerate(epochs, 1) if key in line]
    if points:
        axes.plot(*zip(*points), marker="." if len(points) < 30 else None, label=printable(label))


def _finish_axes(axes: Any, what: str) -> None:
    axes.set(xlabel="epoch", ylabel=what)
    axes.xaxis.get_major_locator().set_params(integer=True)  # there is no epoch 1.5
    axes.grid(alpha=0.3)
    if axes.lines:
        legend = axes.legend(fontsize=7)
        for text in legend.get_texts():
            text.set_parse_math(False)
