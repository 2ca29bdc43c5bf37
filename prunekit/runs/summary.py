"""What a finished run leaves in its folder: model, masks, tables, plots, and summary.json last."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import update_bn

from prunekit.draws.chance import fold
from prunekit.errors import warn
from prunekit.network.flops import count_flops, effective
from prunekit.pruning.rounds import Pruning
from prunekit.reports.plots import NoPlot, plot_curves, plot_layers
from prunekit.resolve.structure import options_table
from prunekit.runs.batches import redraw_events
from prunekit.runs.planning import surveyed_in
from prunekit.selection.masks import Masks, count_kept
from prunekit.storage.tensorfile import write_tensors

if TYPE_CHECKING:
    from prunekit.runs.stages import Stages
    from prunekit.runs.state import State
    from prunekit.spec.sections import Spec


def layer_rows(state: State) -> list[dict[str, Any]]:
    """One row for each maskable parameter: shape, kept, density, score statistics."""
    rows = []
    for count in state.masks.per_layer():
        low, mean, high = state.score_stats.get(count.name) or (None, None, None)
        rows.append(
            {
                "name": count.name,
                "shape": list(state.network.weights[count.name].shape),
                "total": count.total,
                "kept": count.kept,
                "density": count.density,
                "dead": state.dead.get(count.name, 0),
                "score_min": low,
                "score_mean": mean,
                "score_max": high,
            }
        )
    return rows


def finish(run: Stages, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write everything of a finished run; returns the contents of summary.json, written last."""
    recalibrate(run)
    folder, masks, pruning = run.journal.folder, run.state.masks, run.state.pruning
    write_tensors(folder.model, run.built.model.state_dict())
    Masks(masks, asked(run)).save(folder.masks)
    if pruning.draws:
        write_tensors(folder.draws, pruning.draws)
    if pruning.scale:
        write_tensors(folder.scale, pruning.scale)
    folder.write_json(folder.layers, rows)
    summary = summarize(run, rows)
    draw(run, rows)
    folder.write_json(folder.summary, summary)
    return summary


def draw(run: Stages, rows: list[dict[str, Any]]) -> None:
    """The plots; a line of warning where they cannot be drawn, for the numbers stand elsewhere."""
    folder = run.journal.folder
    folder.plots.mkdir(exist_ok=True)
    try:
        plot_layers(rows, folder.density_plot)
        plot_curves(folder.lines(), folder.curves_plot)
    except NoPlot as error:
        warn(f"{folder.plots} lacks plots: {error}")


def summarize(run: Stages, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The contents of summary.json; accuracies in 0-1, times in seconds, FLOPs for one example."""
    state, plan, model, data = run.state, run.plan, run.built.model, run.batches.data
    masks, pruning = state.masks, state.pruning
    measured = run.batches.measure(model)
    run.journal.count(state)
    return {
        **measured,
        "density": masks.density,
        "asked": asked(run),
        "kept": masks.kept,
        "maskable": masks.total,
        **surveyed_in(state.network),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": state.seconds,
        "cold_seconds": max(0.0, state.seconds - run.journal.warm_seconds),
        "rounds": pruning.round,
        "epochs": plan.training.epochs,
        "seed": plan.seed,
        "empty": [row["name"] for row in rows if row["total"] and not row["kept"]],
        "dead": sum(state.dead.values()),
        "redraw_events": redraw_events(plan, data),
        **redrawn_counts(pruning, masks),
        "redrawn_zeros": run.built.redrawn,
        **flops_of(run, rows),
        **({"bad_files": len(data.bad_files)} if plan.data.skip_bad else {}),
        "input_shape": list(data.input_shape),
        "classes": data.classes,
        "mean": list(data.mean),
        "std": list(data.std),
        "masks_sha256": masks.digest(),
        **published(plan.spec),
    }


def asked(run: Stages) -> float | None:
    """The density that the last sampling was asked for; None where nothing was sampled."""
    densities = run.plan.densities
    return densities[-1] if densities else None


def redrawn_counts(pruning: Pruning, masks: Masks) -> dict[str, Any]:
    """Redraws, the weights that were ever redrawn, how many of them are kept, and which share."""
    ever = {name: draws > 0 for name, draws in pruning.draws.items()}
    kept = sum(count_kept(where & masks[name]) for name, where in ever.items())
    return {
        "redraws": pruning.redraws,
        "redrawn": sum(count_kept(where) for where in ever.values()),
        "redrawn_kept": kept,
        "redrawn_share": kept / max(masks.kept, 1),
    }


def flops_of(run: Stages, rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """FLOPs of one example, dense and after pruning; None where they cannot be counted."""
    network = run.state.network
    flops = count_flops(run.built.model, run.batches.data.input_shape, network.layers)
    densities = {row["name"]: row["density"] for row in rows}
    return {
        "flops.dense": None if flops is None else flops.dense,
        "flops.effective": None if flops is None else effective(flops, densities),
    }


def published(spec: Spec) -> dict[str, Any]:
    """What a paper reports for this run, under the key "published"; nothing where none does."""
    table = options_table(spec.published)
    return {"published": table} if table else {}


def recalibrate(run: Stages) -> None:
    """Recompute batch-norm statistics from `train.bn_recalibrate` training batches."""
    wanted = run.plan.training.bn_recalibrate
    if wanted:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fold(run.plan.seed, "recalibrate"))  # dropout is on
            batches = run.batches.training("recalibrate")
            pairs = itertools.chain.from_iterable(map(batches.epoch, itertools.count()))
            update_bn((x for x, _ in itertools.islice(pairs, wanted)), run.built.model)
