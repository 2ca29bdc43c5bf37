"""B, Table 1 and Figures 1-2: are a network's weights as Theorem 2 (iii) assumes them?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from prunekit.errors import SpecError
from prunekit.reports.plots import figure
from prunekit.theory.domain import positive
from prunekit.theory.studies.catalogue import Outcome, Progress, Row, no_progress

Source = nn.Module | Mapping[str, Tensor] | str | Path


def weight_moments(
    progress: Progress = no_progress,
    *,
    model: Source | None = None,
    K1: float | None = None,
    K2: float | None = None,
) -> Outcome:
    """Mean, variance and fourth moment of each layer's weights, checked against Theorem 2 (iii).

    The theorem assumes independent weights of mean 0 with E w^2 <= K1/d and E w^4 <= K2/d^2, d the
    larger of a layer's two widths. A convolution counts as (d', d q q). A row holds the least K1
    and K2 of its layer, the mean in standard errors ("mean / se") and the kurtosis, 3 for normal
    and 1.8 for uniform weights. "holds": both moments keep K1 and K2, and the mean lies within
    4.5 standard errors of 0. K1, K2: None = the largest that any layer needs.

    model: a module, parameter name -> tensor, or a run folder; None = a small network trained on
    digits. A pruned weight counts as 0.
    """
    positive(**{name: K for name, K in {"K1": K1, "K2": K2}.items() if K is not None})
    layers = matrices(model)
    rows: list[Row] = [_row(name, matrix) for name, matrix in layers.items()]
    first = max(row["K1"] for row in rows) if K1 is None else K1
    second = max(row["K2"] for row in rows) if K2 is None else K2
    drawn = figure(3.2 * len(layers), 3)
    panels = drawn.subplots(1, len(layers), squeeze=False)[0]
    for index, (axes, row) in enumerate(zip(panels, rows)):
        within = row["K1"] <= first * (1 + 1e-12) and row["K2"] <= second * (1 + 1e-12)
        row["holds"] = within and abs(row["mean / se"]) < 4.5
        values = layers[row["layer"]].reshape(-1)
        axes.hist(values.numpy(), 60, density=True)
        axes.set_title(row["layer"], fontsize=8, parse_math=False)
        axes.set_xlabel("weight")
        progress(index + 1, len(rows))
    return rows, drawn


def _row(name: str, matrix: Tensor) -> Row:
    n, d = matrix.numel(), max(matrix.shape)
    mean, second, fourth = (float(matrix.pow(power).mean()) for power in (1, 2, 4))
    return {
        "layer": name,
        "d_out": matrix.shape[0],
        "d_in": matrix.shape[1],
        "mean": mean,
        "mean / se": mean / math.sqrt(second / n) if second else 0.0,
        "variance": second - mean**2,
        "fourth moment": fourth,
        "kurtosis": fourth / second**2 if second else 0.0,
        "K1": second * d,
        "K2": fourth * d**2,
    }


def matrices(model: Source | None) -> dict[str, Tensor]:
    """Name -> float64 matrix (d_out, the rest) of every weight with at least two dimensions."""
    if model is None:
        from prunekit.theory.studies.tickets import small_ticket

        named: Mapping[str, Tensor] = small_ticket(density=1.0, rounds=1).final
    elif isinstance(model, str | Path):
        from prunekit.runs.running import load

        named = dict(load(model)[0].named_parameters())
    else:
        named = dict(model.named_parameters()) if isinstance(model, nn.Module) else model
    found = {
        name: tensor.detach().cpu().to(torch.float64).flatten(1)
        for name, tensor in named.items()
        if tensor.ndim >= 2 and tensor.numel()
    }
    if not found:
        raise SpecError("model has no weight with two dimensions; give one with layers")
    for name, matrix in found.items():
        if not matrix.isfinite().all():
            raise SpecError(f"model has NaN or infinity in {name}; give finite weights")
    return found
