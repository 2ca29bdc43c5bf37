"""What a paper reports for a run, beside what the run measured. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def figure(published: Mapping[str, Any]) -> str | None:
    """The paper's figure, as "0.7516 ± 0.0023 (n = 3)"; None where it reports none."""
    if "mean" not in published:
        return None
    spread = f" ± {published['std']:.4g}" if "std" in published else ""
    runs = f" (n = {published['n']})" if "n" in published else ""
    return f"{published['mean']:.6g}{spread}{runs}"


def beside(published: Mapping[str, Any], summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Rows for a table: the source, the metric, and both values of it."""
    if not published:
        return []
    source, paper = ("source", published.get("source")), figure(published)
    if paper is None:
        return [source, ("published", "no figure")]
    metric = published.get("metric", "")
    return [source, ("metric", metric), ("published", paper), ("measured", summary.get(metric))]


def short(published: Mapping[str, Any]) -> str | None:
    """The figure as a cell of a table of runs; it names its metric unless that is the accuracy."""
    paper = figure(published)
    metric = published.get("metric")
    return paper if paper is None or metric == "test.accuracy" else f"{metric} {paper}"
