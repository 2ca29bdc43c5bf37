"""What a finished run leaves in its folder: model, masks, tables, plots, and summary.json last."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from prunekit.draws.chance import fold
from prunekit.network.flops import count_flops, effective
from prunekit.reports.plots import plot_curves, plot_layers
from prunekit.resolve.structure import options_table
from prunekit.runs.batches import measure, redraw_events, training_batches
from prunekit.selection.masks import count_kept
from prunekit.storage.tensorfile import write_tensors

if TYPE_CHECKING:
    from prunekit.runs.job import Job
    from prunekit.spec.sections import Spec


def layer_rows(job: Job) -> list[dict[str, Any]]:
    """One row for each maskable parameter: shape, kept, density, score statistics."""
    rows = []
    for count in job.masks.per_layer():
        low, mean, high = job.score_stats.get(count.name) or (None, None, None)
        rows.append(
            {
                "name": count.name,
                "shape": list(job.network.weights[count.name].shape),
                "total": count.total,
                "kept": count.kept,
                "density": count.density,
                "dead": job.dead.get(count.name, 0),
                "score_min": low,
                "score_mean": mean,
                "score_max": high,
            }
        )
    return rows


def finish(job: Job, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write everything of a finished run; returns the contents of summary.json, written last."""
    recalibrate(job)
    folder, masks = job.folder, job.masks
    write_tensors(folder.model, job.built.model.state_dict())
    masks.save(folder.masks)
    if job.pruning.draws:
        write_tensors(folder.draws, job.pruning.draws)
    if job.pruning.scale:
        write_tensors(folder.scale, job.pruning.scale)
    folder.write_json(folder.layers, rows)
    summary = summarize(job, rows)
    folder.plots.mkdir(exist_ok=True)
    plot_layers(rows, folder.plots / "density.png")
    plot_curves(folder.lines(), folder.plots / "curves.png")
    folder.write_json(folder.summary, summary)
    return summary


def summarize(job: Job, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The contents of summary.json; accuracies in 0-1, times in seconds, FLOPs for one example."""
    masks, pruning = job.masks, job.pruning
    densities = {row["name"]: row["density"] for row in rows}
    flops = count_flops(job.built.model, job.data.input_shape, job.network.layers)
    ever = {name: draws > 0 for name, draws in pruning.draws.items()}
    ever_kept = sum(count_kept(where & masks[name]) for name, where in ever.items())
    return {
        **measure(job),
        "density": masks.density,
        "kept": masks.kept,
        "maskable": masks.total,
        "parameters": sum(p.numel() for p in job.built.model.parameters()),
        "seconds": job.seconds + time.perf_counter() - job.clock,
        "rounds": pruning.round,
        "epochs": job.spec.train.epochs,
        "seed": job.spec.seed,
        "empty": [row["name"] for row in rows if row["total"] and not row["kept"]],
        "dead": sum(job.dead.values()),
        "redraw_events": redraw_events(job.spec, job.data),
        "redraws": pruning.redraws,
        "redrawn": sum(count_kept(where) for where in ever.values()),
        "redrawn_kept": ever_kept,
        "redrawn_share": ever_kept / max(masks.kept, 1),
        "redrawn_zeros": job.built.redrawn,
        "flops.dense": None if flops is None else flops.dense,
        "flops.effective": None if flops is None else effective(flops, densities),
        "input_shape": list(job.data.input_shape),
        "classes": job.data.classes,
        "mean": list(job.data.mean),
        "std": list(job.data.std),
        "masks_sha256": masks.digest(),
        **published(job.spec),
    }


def published(spec: Spec) -> dict[str, Any]:
    """What a paper reports for this run, under the key "published"; nothing where none does."""
    table = options_table(spec.published)
    return {"published": table} if table else {}


def has_batch_norm(model: nn.Module) -> bool:
    kind = nn.modules.batchnorm._BatchNorm
    return any(isinstance(module, kind) for module in model.modules())


def recalibrate(job: Job) -> None:
    """Recompute batch-norm statistics from `train.bn_recalibrate` training batches."""
    wanted = job.spec.train.bn_recalibrate
    if wanted:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fold(job.spec.seed, "recalibrate"))  # dropout is on
            batches = training_batches(job, "recalibrate", "real")
            pairs = itertools.chain.from_iterable(map(batches.epoch, itertools.count()))
            update_bn((x for x, _ in itertools.islice(pairs, wanted)), job.built.model)
