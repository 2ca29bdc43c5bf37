"""The layers of runs as tables: which have collapsed, and where dead weights are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from prunekit.reports.report import spelled

DEAD_SHARE = 0.01
"""A share of dead weights among the kept that is said, at least."""

Layers = Sequence[Mapping[str, Any]]


@attrs.frozen
class LayerRow:
    """A layer of one run, in words; widths in percent of a cell."""

    name: str
    shape: str
    kept: str
    total: str
    density: str
    dead: str
    alive_width: str
    dead_width: str
    collapsed: bool
    has_dead: bool
    score_min: str
    score_mean: str
    score_max: str


@attrs.frozen
class LayerTable:
    rows: list[LayerRow]
    scored: bool


@attrs.frozen
class HeatCell:
    """A layer over some runs: its mean density, in how many it has collapsed, its dead share."""

    text: str
    says: str
    shade: str
    collapsed: bool
    dead: str


@attrs.frozen
class HeatRow:
    name: str
    n: int
    cells: list[HeatCell]


@attrs.frozen
class Heat:
    """Rows of runs whose networks have the same layers."""

    title: str
    names: list[str]
    rows: list[HeatRow]


def layer_table(layers: Layers) -> LayerTable:
    """Every layer of one run, in definition order."""
    scored = any(row.get("score_mean") is not None for row in layers)
    return LayerTable([_layer(row) for row in layers], scored)


def _layer(row: Mapping[str, Any]) -> LayerRow:
    dead = row.get("dead", 0)
    share = dead / row["total"] if row["total"] else 0.0
    return LayerRow(
        row["name"],
        spelled(row["shape"]),
        spelled(row["kept"]),
        spelled(row["total"]),
        spelled(row["density"]),
        spelled(dead),
        f"{100 * max(0.0, row['density'] - share):.2f}",
        f"{100 * min(share, row['density']):.2f}",
        has_collapsed(row),
        dead > 0,
        *(spelled(row.get(f"score_{what}")) for what in ("min", "mean", "max")),
    )


def has_collapsed(row: Mapping[str, Any]) -> bool:
    """Whether a layer that could keep weights keeps none."""
    return bool(row["total"]) and not row["kept"]


def heats(groups: Mapping[str, Sequence[Layers]]) -> list[Heat]:
    """Rows by name -> the layers of each of its runs, as one table for each list of layers."""
    tables: dict[tuple[str, ...], list[HeatRow]] = {}
    for name, runs in groups.items():
        alike: dict[tuple[str, ...], list[Layers]] = {}
        for layers in runs:
            alike.setdefault(tuple(row["name"] for row in layers), []).append(layers)
        for names, same in alike.items():
            cells = [_heat(rows) for rows in zip(*same)]
            tables.setdefault(names, []).append(HeatRow(name, len(same), cells))
    return [
        Heat(f"{len(names)} layers, from {names[0]} to {names[-1]}", list(names), rows)
        for names, rows in tables.items()
        if names
    ]


def _heat(rows: Sequence[Mapping[str, Any]]) -> HeatCell:
    """One layer over the runs of a row."""
    density = statistics.fmean(row["density"] for row in rows)
    kept, dead = sum(row["kept"] for row in rows), sum(row.get("dead", 0) for row in rows)
    gone = sum(map(has_collapsed, rows))
    share = dead / kept if kept else 0.0
    said = [f"{rows[0]['name']}: density {spelled(density)}, n = {len(rows)}"]
    said += [f"dead {spelled(dead)} of {spelled(kept)} kept"] * bool(dead)
    said += [f"collapsed in {gone} of {len(rows)} runs"] * bool(gone)
    text = f"{density:.3g}" if not gone else f"∅ {gone} of {len(rows)}"
    shown = f"{100 * share:.0f} %" if share >= DEAD_SHARE else ""
    return HeatCell(text, "; ".join(said), f"{_shade(density):.3f}", gone > 0, shown)


def _shade(density: float) -> float:
    """0 for a density of 0.001 and below, 0.6 for 1, by its logarithm."""
    return 0.6 * max(0.0, 1 + math.log10(density) / 3) if density > 0 else 0.0
